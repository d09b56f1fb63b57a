"""Training sequences of the interest model: windows of each user's steps, and what followed each step."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from liverank.ranking.interactions import Events, Floats, Rows

Ints = npt.NDArray[np.int64]
OVERLAP = 4
"""A window shares one in so many of its steps with the one before: the least that a question has before it."""


@dataclass(frozen=True)
class Batch:
    """Windows of one batch, padded at the end to `[windows, steps]`, and what they are asked."""

    at: Ints
    """Number of each step, -1 for padding."""
    events: Ints
    """Index of every event of these steps, `[events]`."""
    places: Ints
    """Place of each event's step in the flattened batch, `[events]`."""
    asks: Ints
    """Place of each question in the flattened batch, `[asks]`."""
    asked: Ints
    """Number of the step of each question, `[asks]`."""
    pairs: Ints
    """Index into `asks` of each target, `[targets]`."""
    targets: Ints
    """Item row of each target, `[targets]`: what the user liked in the step after."""
    weights: Floats
    """Weight of each target, `[targets]`; those of one question sum to 1."""


class Sequences:
    """Windows over the steps of a training set; a step is a user's events of one timestamp.

    Long histories become windows of `length` steps that overlap by a quarter; each step with a later step is asked for
    exactly once, in the window that has most before it. Targets lie strictly later in time than all that is seen.
    """

    def __init__(self, events: Events, length: int) -> None:
        self.events = events
        self.steps = events.steps()
        begins = np.flatnonzero(np.diff(self.steps, prepend=-1)) if len(events) else np.zeros(0, np.int64)
        self.begins = np.append(begins, len(events))
        """First event of each step, and the number of events, `[steps + 1]`."""
        self._asks = self._questions()
        self._asked_before = np.concatenate([[0], np.cumsum(self._asks)])
        self._starts, self._stops, self._fresh = _windows(events.user[begins], length)

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def total_events(self) -> int:
        """Events in all windows: those in two windows count twice."""
        return self.events_of(np.arange(len(self)))

    @property
    def total_steps(self) -> int:
        """Steps in all windows: those in two windows count twice."""
        return int((self._stops - self._starts).sum())

    def events_of(self, windows: Rows) -> int:
        """Events in some windows."""
        return int((self.begins[self._stops[windows]] - self.begins[self._starts[windows]]).sum())

    def questions_of(self, windows: Rows) -> int:
        """Questions asked in some windows."""
        return int((self._asked_before[self._stops[windows]] - self._asked_before[self._fresh[windows]]).sum())

    def batches(self, steps: int, rng: np.random.Generator) -> list[Rows]:
        """The windows of one epoch in random batches of similar length, of at most `steps` places each.

        A batch has one window at least, whatever its length.
        """
        lengths = self._stops - self._starts
        order = rng.permutation(len(self))
        # Nearly sorted: windows that differ by a few steps change places from epoch to epoch, so that batches differ.
        order = order[np.argsort(lengths[order] * rng.uniform(0.9, 1.1, len(order)), kind="stable")]
        batches = [order[start:stop] for start, stop in pairwise(_within(lengths[order], steps))]
        return [batches[at] for at in rng.permutation(len(batches))]

    def padding(self, steps: int) -> float:
        """Share of places of an epoch's batches that hold no step."""
        lengths = self._stops - self._starts
        places = sum(len(at) * int(lengths[at].max()) for at in self.batches(steps, np.random.default_rng(0)))
        return 1 - self.total_steps / places if places else 0.0

    def batch(self, windows: Rows) -> Batch:
        """The events and questions of some windows."""
        starts, stops = self._starts[windows], self._stops[windows]
        at = starts[:, None] + np.arange(int((stops - starts).max()))
        inside = at < stops[:, None]
        safe = np.where(inside, at, 0)
        asks = inside & (at >= self._fresh[windows][:, None]) & self._asks[safe]
        asked, places = at[asks], np.flatnonzero(inside.ravel())
        events, step = _expanded(self.begins, at[inside])
        return Batch(
            np.where(inside, at, -1), events, places[step], np.flatnonzero(asks.ravel()), asked, *self._targets(asked)
        )

    def _questions(self) -> npt.NDArray[np.bool_]:
        """Steps whose user has a next step with something liked, `[steps]`."""
        begins, events = self.begins, self.events
        asks = np.zeros(len(begins) - 1, bool)
        if len(asks) < 2:
            return asks
        liked = np.add.reduceat((events.weight > 0).astype(np.int64), begins[:-1]) > 0
        user = events.user[begins[:-1]]
        asks[:-1] = (user[1:] == user[:-1]) & liked[1:]
        return asks

    def _targets(self, asked: Ints) -> tuple[Ints, Ints, Floats]:
        """What was liked in the step after each asked one, as (question, item, weight)."""
        at, pairs = _expanded(self.begins, asked + 1)
        weights = np.maximum(self.events.weight[at], 0)
        pairs, at, weights = pairs[weights > 0], at[weights > 0], weights[weights > 0]
        totals = np.bincount(pairs, weights, len(asked))
        return pairs, self.events.item[at].astype(np.int64), (weights / totals[pairs]).astype(np.float32)


def _expanded(begins: Ints, steps: Ints) -> tuple[Ints, Ints]:
    """The events of some steps, and which of the steps each belongs to."""
    begin, size = begins[steps], begins[steps + 1] - begins[steps]
    of = np.repeat(np.arange(len(steps)), size)
    within = np.arange(len(of)) - np.repeat(np.cumsum(size) - size, size)
    return np.repeat(begin, size) + within, of


def _windows(user: npt.NDArray[np.int32], length: int) -> tuple[Ints, Ints, Ints]:
    """Start, stop and first step to ask of each window, of the user of each step."""
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


def _within(lengths: Ints, steps: int) -> list[int]:
    """Edges of runs of windows whose padded size, count times longest, is at most `steps`."""
    edges, longest = [0], 0
    for at, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if at > edges[-1] and (at + 1 - edges[-1]) * longest > steps:
            edges.append(at)
            longest = length
    return [*edges, len(lengths)] if len(lengths) else edges
