"""What an inference request and its response say of the lists that were shown: impressions of the contract.

Bodies are those of `POST /v1/rank`, of KServe's v1 `:predict` and of the open inference protocol (v2, tensors as JSON),
as docs/serving.md has them; fields that an impression does not need are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from liverank.errors import DataError
from liverank.events import ExperimentArm, Identifier, Impression, ShownItem
from liverank.pseudonyms import Pseudonyms

_TIMESTAMP: Final = "timestamp"
_INSTANT = Annotated[datetime, msgspec.Meta(tz=True)]


class Candidate(msgspec.Struct, frozen=True):
    """A candidate as far as it counts here."""

    item_id: Identifier
    score: float | None = None


class Asked(msgspec.Struct, frozen=True):
    """A request for one list."""

    candidates: Annotated[list[Identifier | Candidate], msgspec.Meta(min_length=1)]
    user_id: Identifier | None = None
    context: dict[str, str] = {}
    session_id: str | None = None
    surface: str = ""


class Line(msgspec.Struct, frozen=True):
    """One line of an answer."""

    item_id: Identifier
    position: int
    score: float | None = None
    propensity: float | None = None
    variant: str = ""


class Answered(msgspec.Struct, frozen=True):
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
        return _read(body["instances"], list[Asked], "instances")
    if "inputs" in body:
        tensors = _tensors(body["inputs"])
        users = tensors.get("user_id", [None])
        if len(users) != 1:
            raise DataError(f"The input tensor 'user_id' has {len(users)} values.")
        given = {name: value for name, value in _parameters(body).items() if name in ("session_id", "surface")}
        fields = {"candidates": tensors.get("candidates"), "user_id": users[0], **given}
        return [_read(fields, Asked, "inputs")]
    if "candidates" in body:
        return [_read(body, Asked, "the request")]
    raise DataError("It asks for no ranking: it has neither candidates nor instances nor inputs.")


def answered(body: Mapping[str, Any]) -> list[Answered]:
    """The lists that a response gives.

    Raises:
        DataError: it gives no ranking, or breaks the contract.
    """
    if "predictions" in body:
        return _read(body["predictions"], list[Answered], "predictions")
    if "outputs" in body:
        return [_of_tensors(body)]
    if "ranking" in body:
        return [_read(body, Answered, "the response")]
    raise DataError("It gives no ranking: it has neither ranking nor predictions nor outputs.")


def impressions(request: Mapping[str, Any], response: Mapping[str, Any], at: datetime | None) -> list[Impression]:
    """The lists that were shown.

    Args:
        request: the body of the request.
        response: of its response.
        at: when it was asked for, unless the request's own `context.timestamp` says.

    Raises:
        DataError: either cannot be read, or they do not belong together.
    """
    lists, answers = asked(request), answered(response)
    if len(lists) != len(answers):
        raise DataError(f"The request asks for {len(lists)} lists, its response gives {len(answers)}.")
    return [_impression(one, answer, at) for one, answer in zip(lists, answers, strict=True)]


def pseudonymous(body: Mapping[str, Any], names: Pseudonyms) -> dict[str, Any]:
    """A body that `asked` or `answered` reads, its users and sessions under their pseudonyms, without what is not read.

    Args:
        body: of a request or a response.
        names: the pseudonyms.
    """
    for name in ("instances", "predictions"):
        if name in body:
            return {name: [_renamed(one, names) for one in body[name]]}
    if "inputs" in body:
        inputs = [_renamed_tensor(tensor, names) for tensor in body["inputs"]]
        return {"inputs": inputs, "parameters": _renamed(_parameters(body), names)}
    if "outputs" in body:
        fields = {name: body[name] for name in ("outputs", "model_version") if name in body}
        return {**fields, "parameters": _renamed(_parameters(body), names)}
    return _renamed(body, names)


def _renamed(fields: Mapping[str, Any], names: Pseudonyms) -> dict[str, Any]:
    known = {"user_id": names.user, "session_id": names.session}
    return {
        name: known[name](value) if name in known and isinstance(value, str) and value else value
        for name, value in fields.items()
    }


def _renamed_tensor(tensor: Mapping[str, Any], names: Pseudonyms) -> dict[str, Any]:
    if tensor.get("name") != "user_id":
        return dict(tensor)
    return {**tensor, "data": [names.user(user) for user in _flat(tensor["data"])]}


def _impression(one: Asked, answer: Answered, at: datetime | None) -> Impression:
    user = one.user_id or answer.user_id
    if not user:
        raise DataError("Neither the request nor the response names a user.")
    ids = [line if isinstance(line, str) else line.item_id for line in one.candidates]
    incoming = {item: place for place, item in enumerate(ids)}
    scores = [None if isinstance(line, str) else line.score for line in one.candidates]
    interleaved = any(line.variant for line in answer.ranking)
    certain = 1.0 if answer.ordered and not interleaved else None
    shown = []
    for line in answer.ranking:
        if line.item_id not in incoming:
            raise DataError(f"The response shows '{line.item_id}', which is no candidate of the request.")
        place = incoming[line.item_id]
        shown.append(
            ShownItem(
                item_id=line.item_id,
                position=line.position,
                score=line.score,
                propensity=certain if line.propensity is None else line.propensity,
                incoming_position=place + 1,
                incoming_score=scores[place],
            )
        )
    return Impression(
        impression_id=answer.impression_id,
        user_id=user,
        timestamp=_instant(one, at),
        shown=shown,
        session_id=one.session_id,
        surface=one.surface,
        context={name: value for name, value in one.context.items() if name != _TIMESTAMP},
        model_version=answer.model_version,
        degraded=answer.degraded,
        experiment_arm=_arm(answer, interleaved),
    )


def _arm(answer: Answered, interleaved: bool) -> ExperimentArm | None:
    if not answer.experiment:
        return None
    teams = [line.variant for line in answer.ranking] if interleaved else []
    return ExperimentArm(name=answer.experiment, variant=answer.variant, teams=teams)


def _instant(one: Asked, at: datetime | None) -> datetime:
    said = one.context.get(_TIMESTAMP)
    if said is not None:
        found: datetime = _read(said, _INSTANT, "context.timestamp")
        return found.astimezone(UTC)
    if at is None:
        raise DataError("Neither the event nor the request's context says when that was.")
    return at.astimezone(UTC)


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
    return _read(fields, Answered, "outputs")


def _tensors(tensors: Any) -> dict[str, list[Any]]:
    """The values by tensor.

    Raises:
        DataError: one has none in JSON: the binary extension puts them behind it.
    """
    found = {}
    for tensor in _read(tensors, list[dict[str, Any]], "tensors"):
        name = str(tensor.get("name"))
        if not isinstance(tensor.get("data"), list):
            raise DataError(f"The tensor '{name}' has no data in JSON; tensors in binary are not read.")
        found[name] = list(_flat(tensor["data"]))
    return found


def _parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    return _read(body.get("parameters") or {}, dict[str, Any], "parameters")


def _flat(values: Sequence[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _read(value: Any, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as problem:
        raise DataError(f"In {where}: {problem}.") from problem
