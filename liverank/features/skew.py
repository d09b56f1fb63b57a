"""Did serving rank with the history that training will believe it had? Read from the live log alone.

Each impression names the history its ranking used (`history_digest`). For every one the history is made again as
training makes it: the user's latest events before the request that had arrived by then, in the order of time. Where the
names differ, other histories are tried that a server could have seen, and the first that has the logged name tells the
likely cause. A sample of the impressions also carries feature values, which `value_skew` compares.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from liverank.events import Impression, Interaction, Record
from liverank.features.digest import digest_length, history_digest
from liverank.features.live_frames import MEANWHILE_SECONDS
from liverank.features.value_report import ValueSkew
from liverank.features.value_skew import ValueCheck, ValueLog
from liverank.ranking.protocol import History

MOST_EXAMPLES: Final = 20

MEANWHILE: Final = "arrived while the list was ranked"
CLOCK: Final = "clock: an event or the request is dated apart from the order of the log"
ORDER: Final = "order of events of one instant"
LATE: Final = "late event: dated before the request, arrived after it"
ERASED: Final = "erased user: the log holds less than the ranking saw"
LENGTH: Final = "changed definition: another history length"
DEGRADED: Final = "degraded: the live store could not be read"
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Difference:
    """An impression whose ranking used another history."""

    impression_id: str
    timestamp: str
    used: str
    """The digest that serving logged."""
    expected: str
    """The digest of the history that training makes."""
    cause: str


@dataclass(frozen=True)
class SkewReport:
    """What the check found; `share` is that of the checked impressions whose history differs."""

    impressions: int
    """Impressions in the log since the start."""
    checked: int
    """Those that name their history; others were logged by other systems or older servers, or ranked by no model."""
    differing: int
    causes: dict[str, int]
    features: dict[str, float]
    """Feature group -> share of the checked impressions that differ in it."""
    examples: list[Difference] = field(default_factory=list)
    values: ValueSkew | None = None
    """What the comparison of feature values found; None where none was asked for."""

    @property
    def share(self) -> float:
        """Share of the checked impressions that differ; 0 where none was checked."""
        return self.differing / self.checked if self.checked else 0.0

    def write(self, path: Path) -> None:
        """Writes the report as JSON, whole or not at all."""
        draft = path.with_name(f".{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {"share": self.share, **asdict(self)}
        if self.values is not None:
            told["values"]["share"] = self.values.share
        draft.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        draft.replace(path)

    def lines(self) -> list[str]:
        """The report for people."""
        values = [] if self.values is None or not self.impressions else list(self.values.lines())
        return [*self._of_histories(), *values]

    def _of_histories(self) -> list[str]:
        if not self.checked:
            return [f"Nothing to check: {self._nothing()}."]
        told = [
            f"{self.checked:,} of {self.impressions:,} impressions name the history they were ranked with; "
            f"{self.differing:,} of those ({self.share:.2%}) saw another one than training makes.",
        ]
        told += [f"  {count:,} x {cause}" for cause, count in sorted(self.causes.items(), key=lambda pair: -pair[1])]
        told += [f"  {name}: {share:.2%} differ" for name, share in self.features.items()]
        if self.examples:
            told.append("Examples:")
            told += [
                f"  {one.impression_id} at {one.timestamp}: ranked with {one.used}, training makes {one.expected}"
                f" ({one.cause})"
                for one in self.examples
            ]
        return told

    def _nothing(self) -> str:
        if not self.impressions:
            return "the log holds no impression of that time"
        return f"none of {self.impressions:,} impressions names the history it was ranked with"


@dataclass(frozen=True, slots=True)
class _Event:
    """An interaction of one user as the log has it."""

    sequence: int
    arrived: float
    at: float
    known: float
    event_id: str
    item_id: str
    type: str


def check_skew(
    log: ValueLog, impressions: Iterable[Impression], history_length: int, values: ValueCheck | None = None
) -> SkewReport:
    """Compares what impressions say they were ranked with to what the log says.

    Args:
        log: the live store.
        impressions: those to check.
        history_length: events of a history, `features.history_length`.
        values: how feature values are compared; None: they are not.
    """
    users: dict[str, list[Impression]] = {}
    valued: list[Impression] = []
    total = 0
    for impression in impressions:
        total += 1
        if impression.history_digest:
            users.setdefault(impression.user_id, []).append(impression)
        if impression.feature_values is not None:
            valued.append(impression)
    differences = list(_differences(log, users, history_length))
    checked = sum(map(len, users.values()))
    differing = len(differences)
    causes = Counter(one.cause for one in differences)
    lengths = sum(digest_length(one.used) != digest_length(one.expected) for one in differences)
    shares = {"history": differing, "history length": lengths}
    return SkewReport(
        impressions=total,
        checked=checked,
        differing=differing,
        causes=dict(causes),
        features={name: count / checked if checked else 0.0 for name, count in shares.items()},
        examples=_examples(differences),
        values=None
        if values is None
        else values.run(log, valued, {one.impression_id: one.cause for one in differences}),
    )


def impressions_since(log: ValueLog, since: datetime | None) -> Iterator[Impression]:
    """The log's impressions from that time on."""
    for _, record in log.export():
        if isinstance(record, Impression) and (since is None or record.timestamp >= since):
            yield record


def _examples(differences: Sequence[Difference]) -> list[Difference]:
    """A few of each cause."""
    shown: Counter[str] = Counter()
    kept = []
    each = max(1, MOST_EXAMPLES // max(1, len({one.cause for one in differences})))
    for one in differences:
        shown[one.cause] += 1
        if shown[one.cause] <= each:
            kept.append(one)
    return kept


def _differences(log: ValueLog, users: dict[str, list[Impression]], history_length: int) -> Iterator[Difference]:
    for user, asked in users.items():
        held = log.user_arrivals(user)
        events = [_event(*entry) for entry in held if isinstance(entry[2], Interaction)]
        logged = {entry[2].impression_id: entry[:2] for entry in held if isinstance(entry[2], Impression)}
        for impression in asked:
            at = impression.timestamp.timestamp()
            expected = history_digest(_history(_known(events, at), history_length))
            if expected != impression.history_digest:
                moments = _log_moments(events, at, *logged.get(impression.impression_id, (0, 0.0)))
                cause = _cause(events, list(moments), impression, history_length)
                when = impression.timestamp.astimezone(UTC).isoformat()
                yield Difference(impression.impression_id, when, impression.history_digest, expected, cause)


def _event(sequence: int, arrived: float, record: Record) -> _Event:
    assert isinstance(record, Interaction)
    at = record.timestamp.timestamp()
    known = max(at, record.received_at.timestamp() if record.received_at else arrived)
    return _Event(sequence, arrived, at, known, record.event_id, record.item_id, record.type)


def _known(events: Sequence[_Event], at: float) -> list[_Event]:
    """What training says was known: dated and arrived before the request; in its order."""
    return sorted((one for one in events if one.known < at), key=lambda one: (one.at, one.known, one.event_id))


def _history(events: Sequence[_Event], length: int) -> History:
    kept = events[-length:]
    return History([one.item_id for one in kept], [one.type for one in kept], [one.at for one in kept])


def _as_served(events: Iterable[_Event]) -> list[_Event]:
    """The live store's order."""
    return sorted(events, key=lambda one: (one.at, one.sequence))


def _cause(events: Sequence[_Event], moments: Sequence[list[_Event]], impression: Impression, length: int) -> str:
    """The likely cause of a difference that is certain; `moments`: what the log held before the impression."""
    used, at = impression.history_digest, impression.timestamp.timestamp()
    if any(reason.startswith("history:") for reason in impression.degraded):
        return DEGRADED

    def is_used(seen: Iterable[_Event], most: int = length) -> bool:
        return history_digest(_history(_as_served(seen), most)) == used

    tries: list[tuple[str, Callable[[], bool]]] = [
        (ORDER, lambda: is_used(one for one in events if one.known < at)),
        (CLOCK, lambda: is_used(one for one in events if one.arrived < at)),
        (MEANWHILE, lambda: any(is_used(seen) for seen in _moments(events, at))),
        (LATE, lambda: is_used(one for one in events if one.at < at)),
        (CLOCK, lambda: any(map(is_used, moments))),
        (LENGTH, lambda: _other_length(events, at, used)),
        (ERASED, lambda: digest_length(used) > max(_arrived(events, at), *map(len, moments), 0)),
    ]
    return next((cause for cause, holds in tries if holds()), UNKNOWN)


def _arrived(events: Sequence[_Event], at: float) -> int:
    return sum(one.arrived < at + MEANWHILE_SECONDS for one in events)


def _log_moments(events: Sequence[_Event], at: float, sequence: int, arrived: float) -> Iterator[list[_Event]]:
    """What the log held shortly before the impression came to stand in it, whole and but for what is dated ahead.

    Args:
        events: the user's.
        at: the request's instant, which a caller may date back as it likes.
        sequence: the impression's place in the log; 0 where it has none.
        arrived: when it came there.
    """
    above = sorted((one for one in events if one.sequence < sequence), key=lambda one: one.sequence)
    settled = sum(one.arrived < arrived - MEANWHILE_SECONDS for one in above)
    for count in range(len(above), settled - 1, -1):
        yield above[:count]
        yield [one for one in above[:count] if one.at < at]


def _other_length(events: Sequence[_Event], at: float, used: str) -> bool:
    length = digest_length(used)
    return length > 0 and history_digest(_history(_as_served(e for e in events if e.arrived < at), length)) == used


def _moments(events: Sequence[_Event], at: float) -> Iterator[list[_Event]]:
    """What had arrived at each moment around the request."""
    before = sum(one.arrived < at - MEANWHILE_SECONDS for one in events)
    after = sum(one.arrived <= at + MEANWHILE_SECONDS for one in events)
    by_arrival = sorted(events, key=lambda one: one.sequence)
    for count in range(before, after + 1):
        yield by_arrival[:count]
