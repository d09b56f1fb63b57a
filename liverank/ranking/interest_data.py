"""Training sequences of the interest model: windows of each user's events, and what followed each step."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from liverank.ranking.interactions import Events, Floats, Rows

Ints = npt.NDArray[np.int64]
OVERLAP = 4
"""A window shares one in so many of its events with the one before: the least that a question has before it."""


@dataclass(frozen=True)
class Batch:
    """Windows of one batch, padded at the end to `[windows, events]`, and what they are asked."""

    at: Ints
    """Index of each event, -1 for padding."""
    asks: Ints
    """Place of each question in the flattened batch, `[asks]`: the last event of a step."""
    asked: Ints
    """Index of the event of each question, `[asks]`."""
    pairs: Ints
    """Index into `asks` of each target, `[targets]`."""
    targets: Ints
    """Item row of each target, `[targets]`: what the user liked in the step after."""
    weights: Floats
    """Weight of each target, `[targets]`; those of one question sum to 1."""


class Sequences:
    """Windows over the events of a training set.

    Long histories become windows of `length` events that overlap by a quarter; each step with a later step is asked for
    exactly once, in the window that has most before it. Targets lie strictly later in time than all that is seen.
    """

    def __init__(self, events: Events, length: int) -> None:
        self.events = events
        self.steps = events.steps()
        self._begins = np.flatnonzero(np.diff(self.steps, prepend=-1)) if len(events) else np.zeros(0, np.int64)
        """First event of each step."""
        self._begins = np.append(self._begins, len(events))
        self._asks = self._questions()
        self._asked_before = np.concatenate([[0], np.cumsum(self._asks)])
        self._starts, self._stops, self._fresh = _windows(events.user, length)

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def total_events(self) -> int:
        """Events in all windows: those in two windows count twice."""
        return int((self._stops - self._starts).sum())

    def events_of(self, windows: Rows) -> int:
        """Events in some windows."""
        return int((self._stops[windows] - self._starts[windows]).sum())

    def questions_of(self, windows: Rows) -> int:
        """Questions asked in some windows."""
        return int((self._asked_before[self._stops[windows]] - self._asked_before[self._fresh[windows]]).sum())

    def batches(self, events: int, rng: np.random.Generator) -> list[Rows]:
        """The windows of one epoch in random batches of similar length, of at most `events` places each.

        A batch has one window at least, whatever its length.
        """
        lengths = self._stops - self._starts
        order = rng.permutation(len(self))
        # Nearly sorted: windows that differ by a few events change places from epoch to epoch, so that batches differ.
        order = order[np.argsort(lengths[order] * rng.uniform(0.9, 1.1, len(order)), kind="stable")]
        parts = _within(lengths[order], events)
        batches = [order[start:stop] for start, stop in pairwise(parts)]
        return [batches[at] for at in rng.permutation(len(batches))]

    def padding(self, events: int) -> float:
        """Share of places of an epoch's batches that hold no event."""
        lengths = self._stops - self._starts
        places = sum(len(at) * int(lengths[at].max()) for at in self.batches(events, np.random.default_rng(0)))
        return 1 - self.total_events / places if places else 0.0

    def batch(self, windows: Rows) -> Batch:
        """The events and questions of some windows."""
        starts, stops = self._starts[windows], self._stops[windows]
        at = starts[:, None] + np.arange(int((stops - starts).max()))
        inside = at < stops[:, None]
        safe = np.where(inside, at, 0)
        asks = inside & (at >= self._fresh[windows][:, None]) & self._asks[safe]
        asked = at[asks]
        return Batch(np.where(inside, at, -1), np.flatnonzero(asks.ravel()), asked, *self._targets(asked))

    def _questions(self) -> npt.NDArray[np.bool_]:
        """Last events of steps whose user has a next step with something liked, `[events]`."""
        begins, events = self._begins, self.events
        asks = np.zeros(len(events), bool)
        if len(begins) < 3:
            return asks
        liked = np.add.reduceat((events.weight > 0).astype(np.int64), begins[:-1]) > 0
        same_user = events.user[begins[1:-1]] == events.user[begins[:-2]]
        asks[begins[1:-1][same_user & liked[1:]] - 1] = True
        return asks

    def _targets(self, asked: Ints) -> tuple[Ints, Ints, Floats]:
        """What was liked in the step after each asked event, as (question, item, weight)."""
        following = self.steps[asked] + 1
        begin, size = self._begins[following], self._begins[following + 1] - self._begins[following]
        pairs = np.repeat(np.arange(len(asked)), size)
        within = np.arange(len(pairs)) - np.repeat(np.cumsum(size) - size, size)
        at = np.repeat(begin, size) + within
        weights = np.maximum(self.events.weight[at], 0)
        pairs, at, weights = pairs[weights > 0], at[weights > 0], weights[weights > 0]
        totals = np.bincount(pairs, weights, len(asked))
        return pairs, self.events.item[at].astype(np.int64), (weights / totals[pairs]).astype(np.float32)


def _windows(user: npt.NDArray[np.int32], length: int) -> tuple[Ints, Ints, Ints]:
    """Start, stop and first event to ask of each window."""
    begins = np.flatnonzero(np.diff(user, prepend=-1)) if len(user) else np.zeros(0, np.int64)
    ends = np.append(begins[1:], len(user))[: len(begins)]
    stride = length - length // OVERLAP
    more = np.maximum(0, -(-(ends - begins - length) // stride))
    windows = 1 + more
    number = np.arange(int(windows.sum())) - np.repeat(np.cumsum(windows) - windows, windows)
    begin, end = np.repeat(begins, windows), np.repeat(ends, windows)
    starts = begin + number * stride
    stops = np.minimum(starts + length, end)
    fresh = np.where(number > 0, starts + length - stride, begin)
    return starts, stops, fresh


def _within(lengths: Ints, events: int) -> list[int]:
    """Edges of runs of windows whose padded size, count times longest, is at most `events`."""
    edges, longest = [0], 0
    for at, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if at > edges[-1] and (at + 1 - edges[-1]) * longest > events:
            edges.append(at)
            longest = length
    return [*edges, len(lengths)] if len(lengths) else edges
