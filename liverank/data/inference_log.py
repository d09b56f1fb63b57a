"""What an inference request and its response say of the lists that were shown: impressions of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from liverank.data.inference_bodies import Answered, Asked, answered, asked, converted
from liverank.errors import DataError
from liverank.events import ExperimentArm, Impression
from liverank.instants import in_utc
from liverank.shown import TIMESTAMP, attributes, shown_items

_INSTANT: Final = Annotated[datetime, msgspec.Meta(tz=True)]


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


def _impression(one: Asked, answer: Answered, at: datetime | None) -> Impression:
    user = one.user_id or answer.user_id
    if not user:
        raise DataError("Neither the request nor the response names a user.")
    ids = [line if isinstance(line, str) else line.item_id for line in one.candidates]
    scores = [None if isinstance(line, str) else line.score for line in one.candidates]
    _check_once(ids, "candidate")
    _check_once([line.item_id for line in answer.ranking], "line of item")
    _check_once([line.position for line in answer.ranking], "line at position")
    interleaved = any(line.variant for line in answer.ranking)
    return Impression(
        impression_id=answer.impression_id,
        user_id=user,
        timestamp=_instant(one, at),
        shown=shown_items(answer.ranking, ids, scores, certain=answer.ordered and not interleaved),
        session_id=one.session_id,
        surface=one.surface,
        context=attributes(one.context),
        model_version=answer.model_version,
        degraded=answer.degraded,
        experiment_arm=_arm(answer, interleaved),
    )


def _check_once(values: Sequence[Any], what: str) -> None:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise DataError(f"There are two of the {what} {value!r}.")
        seen.add(value)


def _arm(answer: Answered, interleaved: bool) -> ExperimentArm | None:
    if not answer.experiment:
        return None
    teams = [line.variant for line in answer.ranking] if interleaved else []
    return ExperimentArm(name=answer.experiment, variant=answer.variant, teams=teams)


def _instant(one: Asked, at: datetime | None) -> datetime:
    said = one.context.get(TIMESTAMP)
    if said is not None:
        found: datetime = converted(said, _INSTANT, "context.timestamp")
        return in_utc(found)
    if at is None:
        raise DataError("Neither the event nor the request's context says when that was.")
    return in_utc(at)
