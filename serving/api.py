"""What goes over the wire: requests as closed structs, checked once at the door; answers as the API promises them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from liverank.errors import DataError
from liverank.events import RECORD_TYPES, Identifier, Item, Record, Score, to_utc
from liverank.shaping.rules import Rules

RECORD_NAMES = {name.removesuffix("s"): kind for name, kind in RECORD_TYPES.items()}
"""The value of a record's `record` field -> its type."""


class Refused(Exception):
    """A request that gets an error answer: status, one line that says why, headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class Candidate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A candidate with what the caller knows about it; an item the model has met needs only its id."""

    item_id: Identifier
    text: str = ""
    category: str = ""
    attributes: dict[str, str] = {}
    score: Score | None = None


class RankRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/rank` and one instance of v1 `:predict`."""

    user_id: Identifier | None = None
    """None: a visitor whom nobody knows, with whatever history the session has (`serving.visitors`)."""
    candidates: Annotated[list[Identifier | Candidate], msgspec.Meta(min_length=1)]
    context: dict[str, str] = {}
    session_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    surface: Annotated[str, msgspec.Meta(max_length=256)] = ""
    k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    deadline_ms: Annotated[float, msgspec.Meta(gt=0)] | None = None
    explain: bool = False
    rules: Rules = Rules()


class SignalReason(msgspec.Struct, frozen=True, gc=False):
    """What one signal of the blend, or the language model (`lm`), added to an item's score."""

    signal: str
    contribution: float


class EventReason(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the user's own events with one item do to the score of a shown one."""

    item_id: str
    type: str
    """Of the strongest of them, the latest of equals; so is `timestamp`."""
    timestamp: datetime
    effect: float
    """The score with all events minus the score without these."""
    events: int = 1
    score: Literal["served", "blend"] = "served"
    """Which score the effect is of: where a language model re-ranks, the blend's, before it did."""


class RankedItem(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One line of a ranking.

    `propensity` only where the order was drawn at random; `reasons`, `events` and `sentence` only when asked for;
    `variant` (whose line it is) only where two rankings are interleaved.
    """

    item_id: str
    score: float
    position: int
    propensity: float | None = None
    reasons: list[SignalReason] | None = None
    """The signals that moved the score most, either way; all of them add up to it."""
    events: list[EventReason] | None = None
    """The events that moved it most, either way, by leaving them out; their effects need not add up."""
    sentence: str | None = None
    variant: str | None = None


class RankResponse(msgspec.Struct, frozen=True):
    """The answer of `POST /v1/rank`; `degraded` is empty when the whole model ranked.

    `costs` only when reasons were asked for and rules shaped the list: `liverank.shaping.costs`. `experiment` only
    while there is one, and `variant` where the user has one. `user_id` only where the request named none.
    """

    impression_id: str
    model_version: str
    ranking: list[RankedItem]
    degraded: list[str]
    timing_ms: dict[str, float]
    costs: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    experiment: str | msgspec.UnsetType = msgspec.UNSET
    variant: str | msgspec.UnsetType = msgspec.UNSET
    user_id: str | msgspec.UnsetType = msgspec.UNSET
    """Whose the impression is, for the visitor's events and next requests."""


class Offered(msgspec.Struct, frozen=True):
    """The candidates of a request, apart and checked."""

    item_ids: list[str]
    texts: dict[str, str]
    scores: list[float] | None
    details: dict[str, Candidate] = {}
    """Candidates that came with more than their id."""


class _Kind(msgspec.Struct):
    record: str = "interaction"


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading a body may raise; the last for lists in lists in lists."""
_TO_COME = "lies in the future by the server's clock (serving.max_future_seconds allows for clocks that differ)."
_RANK = msgspec.json.Decoder(RankRequest)
_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_KIND = msgspec.json.Decoder(_Kind)
_RECORDS = {name: msgspec.json.Decoder(kind) for name, kind in RECORD_NAMES.items()}
_INSTANT = msgspec.json.Decoder(Annotated[datetime, msgspec.Meta(tz=True)])


def rank_request(body: bytes) -> RankRequest:
    """Reads the body of a rank request.

    Raises:
        Refused: 400, with the field that is wrong.
    """
    try:
        return _RANK.decode(body)
    except msgspec.ValidationError as problem:
        raise Refused(400, f"{problem}") from problem
    except UNREADABLE as problem:
        raise Refused(400, f"The body is no valid JSON: {problem}") from problem


def offered(request: RankRequest, limit: int, longest: int) -> Offered:
    """The candidates of a request in the order given.

    Raises:
        Refused: 400; more than `limit`, a text of more than `longest` characters, an id twice, scores for some only, or
            a rule that cannot be followed.
    """
    if len(request.candidates) > limit:
        raise Refused(400, f"A request may carry {limit} candidates, this one has {len(request.candidates)}.")
    rich = [line for line in request.candidates if not isinstance(line, str)]
    ids = [line if isinstance(line, str) else line.item_id for line in request.candidates]
    if rich:
        _check_texts(request.candidates, longest)
    if len(set(ids)) != len(ids):
        raise Refused(400, f"Candidate '{_first_twice(ids)}' is there twice.")
    _check_rules(request.rules, ids)
    if not rich:
        return Offered(ids, {}, None)
    texts = {line.item_id: " ".join(filter(None, (line.text, line.category))) for line in rich}
    scores = [line.score for line in rich if line.score is not None]
    if scores and len(scores) != len(ids):
        raise Refused(400, f"{len(scores)} of {len(ids)} candidates carry a score; give one to all or to none.")
    details = {line.item_id: line for line in rich}
    return Offered(ids, {item: text for item, text in texts.items() if text}, scores or None, details)


def _check_texts(candidates: Sequence[str | Candidate], longest: int) -> None:
    for index, line in enumerate(candidates):
        if not isinstance(line, str):
            check_length(f"candidates[{index}]", len(line.text) + len(line.category), longest)


def check_length(where: str, characters: int, longest: int) -> None:
    """Refuses a text that is too long; `where` says which one.

    Raises:
        Refused: 400.
    """
    if characters > longest:
        why = f"{where}: text of {characters} characters, {longest} are allowed (serving.max_text_characters)."
        raise Refused(400, why)


def _first_twice(ids: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(item for item in ids if item in seen or seen.add(item))  # type: ignore[func-returns-value]


def _check_rules(rules: Rules, ids: Sequence[str]) -> None:
    if not rules.pin:
        return
    pins = [pin.item_id for pin in rules.pins]
    if len(set(pins)) != len(pins):
        raise Refused(400, f"rules.pin names '{_first_twice(pins)}' twice.")
    candidates, excluded = set(ids), set(pins).intersection(rules.exclude)
    for item in pins:
        if item not in candidates:
            raise Refused(400, f"rules.pin names '{item}', which is no candidate.")
        if item in excluded:
            raise Refused(400, f"'{item}' is both in rules.pin and in rules.exclude.")
    places = Counter(pin.position for pin in rules.pins if pin.position is not None)
    if places.total() > len(places):
        raise Refused(400, f"rules.pin puts two items on position {places.most_common(1)[0][0]}.")


def request_time(request: RankRequest, latest: float) -> datetime | None:
    """The caller's clock, `context.timestamp`, in UTC, or None; `latest` in epoch seconds.

    Raises:
        Refused: 400; it is no ISO 8601 instant with a zone, or later than `latest`.
    """
    text = request.context.get("timestamp")
    if text is None:
        return None
    try:
        at = _INSTANT.decode(msgspec.json.encode(text)).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as problem:
        raise Refused(400, f"context.timestamp '{text}' is no ISO 8601 time with a zone.") from problem
    if at.timestamp() > latest:
        raise Refused(400, f"context.timestamp '{text}' {_TO_COME}")
    return at


def records(body: bytes, field: str = "events", default: str = "interaction") -> list[Record]:
    """Reads `{field: [record, ...]}`, `[record, ...]` or one record; a record without a `record` field is a `default`.

    Raises:
        Refused: 400; nothing of the batch is taken then. The message names the bad record's index and field.
    """
    try:
        lines = _lines(body, field)
    except UNREADABLE as problem:
        raise Refused(400, f"The body is no valid JSON: {problem}") from problem
    return [_record(line, index, default) for index, line in enumerate(lines)]


def _lines(body: bytes, field: str) -> Sequence[msgspec.Raw | bytes]:
    if body.lstrip()[:1] == b"[":
        return _RAW_LIST.decode(body)
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if field not in fields:
        return [body]
    if len(fields) > 1:
        raise Refused(400, f"Beside '{field}' the body holds '{next(key for key in fields if key != field)}'.")
    return _RAW_LIST.decode(fields[field])


def _record(line: msgspec.Raw | bytes, index: int, default: str) -> Record:
    try:
        kind = _KIND.decode(line).record if b'"record"' in bytes(line) else default
        if kind not in _RECORDS:
            raise Refused(400, f"Record {index}: 'record' is '{kind}'; it may be {', '.join(_RECORDS)}.")
        record: Record = to_utc(_RECORDS[kind].decode(line))
        return record
    except (*UNREADABLE, DataError) as problem:
        raise Refused(400, f"Record {index}: {problem}") from problem


def check_types(batch: Sequence[Record], known: Mapping[str, float]) -> None:
    """Refuses interactions of a type that has no weight in the configuration: no ranking would ever use them.

    Raises:
        Refused: 400.
    """
    for index, record in enumerate(batch):
        kind = getattr(record, "type", None)
        if kind is not None and kind not in known:
            raise Refused(
                400, f"Record {index}: event type '{kind}' has no weight in data.event_weights ({', '.join(known)})."
            )


def check_times(batch: Sequence[Record], latest: float) -> None:
    """Refuses what happened or was received after `latest` (epoch seconds).

    The one would lead its user's history for as long, the other would count for features of days to come.

    Raises:
        Refused: 400.
    """
    for index, record in enumerate(batch):
        for name in ("timestamp", "received_at"):
            at = getattr(record, name, None)
            if at is not None and at.timestamp() > latest:
                raise Refused(400, f"Record {index}: {name} '{at.isoformat()}' {_TO_COME}")


def only_items(batch: Sequence[Record]) -> list[Item]:
    """The batch, when every record is an item.

    Raises:
        Refused: 400.
    """
    for index, record in enumerate(batch):
        if not isinstance(record, Item):
            raise Refused(400, f"Record {index} is no item; send other records to /v1/events.")
    return [record for record in batch if isinstance(record, Item)]


__all__ = [
    "UNREADABLE",
    "Candidate",
    "EventReason",
    "Offered",
    "RankRequest",
    "RankResponse",
    "RankedItem",
    "Refused",
    "Rules",
    "SignalReason",
    "check_length",
    "check_times",
    "check_types",
    "offered",
    "only_items",
    "rank_request",
    "records",
    "request_time",
]
