"""A window of live traffic: consecutive impressions of one model version in log order, with what users answered.

Windows are cut by arrival in the live store's log, not by timestamps, so that replays and late clocks do not matter. A
window is judged once, when the log holds enough impressions of the version that serves now and
`monitoring.attribution_seconds` have passed since its last impression, by the caller's clock or by later timestamps in
the log. An answer that arrives after the judgement is not counted. Impressions of other versions, and of an
experiment's variants but the control, are passed over: the question is how the model that serves now does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from liverank.config.experiment import CONTROL
from liverank.evaluation.request_table import RankedRequest
from liverank.events import Impression, Interaction
from liverank.features.value_skew import ValueLog
from liverank.ranking.protocol import History


class Log(ValueLog, Protocol):
    """What monitoring reads of a live store."""

    def history(self, user_id: str, n: int) -> History:
        """The latest `n` events of a user, oldest first."""
        ...

    def acknowledge(self, reader: str, cursor: int) -> None:
        """Says that `reader` needs nothing of the log up to `cursor` any more."""
        ...


@dataclass(frozen=True)
class Window:
    """Impressions of one model version and their answers."""

    model_version: str
    start: int
    """Log cursor just before the first impression."""
    end: int
    """Log cursor of the last impression: the next window starts behind it."""
    impressions: Sequence[Impression]
    answers: dict[str, set[str]]
    """Impression id -> items that got a positive answer to it."""
    events: Counter[str]
    """User id -> that user's events logged since `start`."""
    newest: datetime
    """The latest timestamp in the log behind the cursor."""
    ripe: bool
    """The window is full and its answers have had their time."""


@dataclass
class _Run:
    """What was seen of one version since the cursor."""

    start: int
    impressions: list[tuple[int, Impression]] = field(default_factory=list)


def read_window(
    log: Log, since: int, size: int, label_types: Iterable[str], now: datetime, attribution_seconds: float
) -> Window | None:
    """The next window behind the cursor `since`, ripe or not; None where the log holds no impression there.

    Args:
        log: the live store.
        since: the cursor, 0 for the log's beginning.
        size: impressions in a full window.
        label_types: event types that answer an impression positively.
        now: the caller's clock.
        attribution_seconds: how long answers may take.
    """
    positive = frozenset(label_types)
    runs: dict[str, _Run] = {}
    answers: dict[str, set[str]] = {}
    events: Counter[str] = Counter()
    newest, version = None, ""
    for cursor, record in log.export(since):
        if isinstance(record, Impression) and record.model_version and _of_the_champion(record):
            version = record.model_version
            run = runs.setdefault(version, _Run(cursor - 1))
            if len(run.impressions) < size:
                run.impressions.append((cursor, record))
                answers[record.impression_id] = set()
        elif isinstance(record, Interaction):
            events[record.user_id] += 1
            if record.type in positive and record.impression_id in answers:
                answers[record.impression_id].add(record.item_id)
        if isinstance(record, Impression | Interaction):
            newest = max(newest or record.timestamp, record.timestamp)
    if not version or newest is None:
        return None
    run = runs[version]
    impressions = [impression for _, impression in run.impressions]
    waited = (max(now, newest) - max(impression.timestamp for impression in impressions)).total_seconds()
    return Window(
        model_version=version,
        start=run.start,
        end=run.impressions[-1][0],
        impressions=impressions,
        answers={impression.impression_id: answers[impression.impression_id] for impression in impressions},
        events=events,
        newest=newest,
        ripe=len(impressions) >= size and waited >= attribution_seconds,
    )


def _of_the_champion(impression: Impression) -> bool:
    """Whether no experiment gave the user another model: only the control's lists are the champion's."""
    return impression.experiment_arm is None or impression.experiment_arm.variant == CONTROL


def ranked_requests(window: Window, log: Log, history_length: int) -> Iterator[RankedRequest]:
    """The window's impressions as evaluation sees test requests: shown order, scores, labels, the history before."""
    for impression in window.impressions:
        shown = sorted(impression.shown, key=lambda item: item.position)
        scores = [item.score for item in shown if item.score is not None]
        answered = window.answers[impression.impression_id]
        at = impression.timestamp.timestamp()
        past = log.history(impression.user_id, history_length + window.events[impression.user_id]).timestamps
        yield RankedRequest(
            request_id=impression.impression_id,
            timestamp=at,
            surface=impression.surface,
            item_ids=[item.item_id for item in shown],
            scores=scores if len(scores) == len(shown) else None,
            labels=[float(item.item_id in answered) for item in shown],
            user_id=impression.user_id,
            history_times=[time for time in past if time < at][-history_length:],
            degraded=bool(impression.degraded),
        )


def clicks_by_position(window: Window, k: int) -> list[tuple[int, int]]:
    """Shown and answered items at positions 1 to `k`, for the click-through rate of each position."""
    shown, answered = Counter[int](), Counter[int]()
    for impression in window.impressions:
        for item in impression.shown:
            shown[item.position] += 1
            answered[item.position] += item.item_id in window.answers[impression.impression_id]
    return [(shown[position], answered[position]) for position in range(1, k + 1)]
