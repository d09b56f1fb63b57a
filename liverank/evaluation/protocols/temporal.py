"""A temporal split: one cut for all users, each step after it predicted from all that lies before it."""

from __future__ import annotations

import numpy as np

from liverank.errors import DataError
from liverank.evaluation.protocols.asks import Ask, Split
from liverank.evaluation.protocols.log import Log
from liverank.ranking.data import Rows


def cuts(first: float, last: float, share: float) -> tuple[float, float]:
    """Where the validation and the test begin: the last `share` of the time is the test, as much before it validation.

    >>> cuts(0.0, 100.0, 0.1)
    (80.0, 90.0)
    """
    length = (last - first) * share
    return last - 2 * length, last - length


def temporal(log: Log, share: float = 0.1, keep_seen: bool = False, span: tuple[float, float] | None = None) -> Split:
    """Splits by time alone: training ends where the validation begins.

    A step is a user's events of one timestamp; its truth is what of it can be looked for (`Log.labels`), unless
    `keep_seen` only what the user did not have before. Steps without any are not asked. Histories hold all of the
    user's events before the step, those after the cut too.

    Args:
        log: the events.
        share: share of the time that is the test, and again the validation.
        keep_seen: whether items that the user had before are ranked.
        span: first and last instant, where more than the events counts; then the events need only hold a training.

    Raises:
        DataError: nothing lies before the validation, in it, or in the test.
    """
    times = log.events.timestamp
    first, last = span or (float(times.min(initial=np.inf)), float(times.max(initial=-np.inf)))
    validation_from, test_from = cuts(first, last, share)
    training = times < validation_from
    validation = _asks(log, validation_from, test_from, keep_seen)
    test = _asks(log, test_from, np.inf, keep_seen)
    if not training.any() or not (span or (validation and test)):
        part = f"{100 * share:.3g} %"
        raise DataError(
            f"The last {part} of the time, the {part} before and what lies earlier do not each hold events.",
            "Give events of a longer time, or another --share; leave-one-out needs no times.",
        )
    return Split(log, training, validation, test, keep_seen, complete=times < test_from)


def _asks(log: Log, since: float, until: float, keep_seen: bool) -> list[Ask]:
    """The steps in `[since, until)`, in the order of users and times."""
    steps, starts, labels = log.events.steps(), log.user_starts(), log.labels
    begins = np.flatnonzero(np.diff(steps, prepend=-1))
    ends = np.append(begins[1:], len(steps))
    times = log.events.timestamp[begins] if len(begins) else np.zeros(0)
    asks = []
    for at in np.flatnonzero((times >= since) & (times < until)).tolist():
        begin, end = int(begins[at]), int(ends[at])
        user = int(log.events.user[begin])
        start = int(starts[user])
        truth = _truth(log, labels, start, begin, end, keep_seen)
        if len(truth):
            asks.append(Ask(user, float(times[at]), start, begin, truth))
    return asks


def _truth(log: Log, labels: np.ndarray, start: int, begin: int, end: int, keep_seen: bool) -> Rows:
    found = np.unique(log.events.item[begin:end][labels[begin:end]]).astype(np.int64)
    return found if keep_seen else np.setdiff1d(found, log.events.item[start:begin])
