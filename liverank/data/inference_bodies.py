"""The bodies of inference requests and responses, as far as an impression needs them.

They are those of `POST /v1/rank`, of KServe's v1 `:predict` and of the open inference protocol (v2, tensors as JSON),
as docs/serving.md has them; fields that an impression does not need are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from liverank.errors import DataError
from liverank.events import Identifier, Position, Score
from liverank.tensors import flat

_READ_PARAMETERS: Final = ("session_id", "surface")


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A candidate as far as it counts here."""

    item_id: Identifier
    score: Score | None = None


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request for one list."""

    candidates: Annotated[list[Identifier | Candidate], msgspec.Meta(min_length=1)]
    user_id: Identifier | None = None
    context: dict[str, str] = {}
    session_id: str | None = None
    surface: str = ""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of an answer."""

    item_id: Identifier
    position: Position
    score: Score | None = None
    propensity: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    variant: str = ""


class Answered(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to one."""

    impression_id: Identifier
    ranking: list[Line]
    model_version: str = ""
    degraded: list[str] = []
    experiment: str = ""
    variant: str = ""
    user_id: str = ""
    """Whose the impression is, where the request named nobody."""
    ordered: bool = True
    """Whether a line without a propensity was certain to stand there; v2 has no place to say."""


def asked(body: Mapping[str, Any]) -> list[Asked]:
    """The lists that a request asks for.

    Raises:
        DataError: it asks for no ranking, or breaks the contract.
    """
    if "instances" in body:
        return converted(body["instances"], list[Asked], "instances")
    if "inputs" in body:
        tensors = _tensors(body["inputs"])
        users = tensors.get("user_id", [None])
        if len(users) != 1:
            raise DataError(f"The input tensor 'user_id' has {len(users)} values.")
        given = {name: value for name, value in _parameters(body).items() if name in _READ_PARAMETERS}
        fields = {"candidates": tensors.get("candidates"), "user_id": users[0], **given}
        return [converted(fields, Asked, "inputs")]
    if "candidates" in body:
        return [converted(body, Asked, "the request")]
    raise DataError("It asks for no ranking: it has neither candidates nor instances nor inputs.")


def answered(body: Mapping[str, Any]) -> list[Answered]:
    """The lists that a response gives.

    Raises:
        DataError: it gives no ranking, or breaks the contract.
    """
    if "predictions" in body:
        return converted(body["predictions"], list[Answered], "predictions")
    if "outputs" in body:
        return [_of_tensors(body)]
    if "ranking" in body:
        return [converted(body, Answered, "the response")]
    raise DataError("It gives no ranking: it has neither ranking nor predictions nor outputs.")


def _of_tensors(body: Mapping[str, Any]) -> Answered:
    tensors, parameters = _tensors(body["outputs"]), _parameters(body)
    ids, scores = tensors.get("item_id"), tensors.get("score")
    if ids is None or scores is None or len(ids) != len(scores):
        raise DataError("The output tensors 'item_id' and 'score' are not there, or not of one length.")
    lines = [
        {"item_id": item, "score": score, "position": place}
        for place, (item, score) in enumerate(zip(ids, scores, strict=True), 1)
    ]
    said: dict[str, Any] = {
        name: parameters[name] for name in ("experiment", "variant", "user_id") if name in parameters
    }
    fields: dict[str, Any] = {
        "impression_id": parameters.get("impression_id"),
        "ranking": lines,
        "model_version": body.get("model_version") or "",
        "degraded": [reason for reason in str(parameters.get("degraded", "")).split("; ") if reason],
        "ordered": False,
        **said,
    }
    return converted(fields, Answered, "outputs")


def _tensors(tensors: Any) -> dict[str, list[Any]]:
    """The values by tensor.

    Raises:
        DataError: one has none in JSON: the binary extension puts them behind it.
    """
    found: dict[str, list[Any]] = {}
    for tensor in converted(tensors, list[dict[str, Any]], "tensors"):
        name = str(tensor.get("name"))
        if name in found:
            raise DataError(f"The tensor '{name}' is there twice.")
        if not isinstance(tensor.get("data"), list):
            raise DataError(f"The tensor '{name}' has no data in JSON; tensors in binary are not read.")
        found[name] = list(flat(tensor["data"]))
    return found


def _parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    return converted(body.get("parameters") or {}, dict[str, Any], "parameters")


def converted(value: Any, kind: Any, where: str) -> Any:
    """A value of a body as what it should be.

    Args:
        value: the value.
        kind: its type.
        where: what it is, for the message.

    Raises:
        DataError: it is none.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        raise DataError(f"In {where}: {problem}.") from problem
