"""Items of the synthetic world: hidden styles, topics and appeal, and which style follows which."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from liverank.data.synthetic_settings import SyntheticSettings
from liverank.data.vocabulary import STYLES, TOPICS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
NOTHING = -1
"""In arrays of items, styles and topics: there is none."""
MONTH = 30.0
"""Days in which a drift of 1 turns everything over."""


def epoch(day: Floats, rate: float) -> tuple[Ints, Floats]:
    """Where days lie between two draws of what drifts: number of the draw before and the weight of the one after."""
    place = day * (rate / MONTH)
    whole = np.floor(place)
    return whole.astype(np.int64), place - whole


@dataclass(frozen=True)
class Appeal:
    """How much items appeal in one epoch, and the items of each cell of style and topic by it."""

    weight: Floats
    members: Ints
    first: Ints


class Catalogue:
    """The items' truth.

    A regime lasts from one drift to the next. In each, half of the styles are alive: they follow each other in a cycle
    and users have favourites among them; the other half sleeps and changes places with it at the next drift.
    """

    def __init__(self, settings: SyntheticSettings) -> None:
        self.settings = settings
        rng = np.random.default_rng([settings.seed, 1])
        n = settings.items
        self.topic = rng.integers(0, TOPICS, n)
        self.style = rng.integers(0, STYLES, n)
        self.quality = rng.normal(0, 1, n)
        late = rng.random(n) < settings.new_items
        late[:10] = False
        self.launch = np.where(late, rng.uniform(0, settings.days, n), 0.0)
        """Day on which an item appears."""
        self._first_order = rng.permutation(np.arange(1, n + 1))
        self._always = np.flatnonzero(self.launch == 0)
        self._halves = np.random.default_rng([settings.seed, 3]).permutation(STYLES).reshape(2, -1)
        self.appeal = cache(self._appeal)
        self.alive = cache(self._alive)
        self.follows = cache(self._follows)
        self.awake = cache(self._awake)
        self._edges = cache(self._popular_edges)

    def _appeal(self, number: int) -> Appeal:
        """Appeal in an epoch; without drift of popularity there is epoch 0 alone."""
        order = self._first_order
        if number:
            order = np.random.default_rng([self.settings.seed, 11, number]).permutation(order)
        weight = order.astype(float) ** -self.settings.popularity_power
        cell = self.style * TOPICS + self.topic
        members = np.lexsort((-weight, cell))
        return Appeal(weight, members, np.searchsorted(cell[members], np.arange(STYLES * TOPICS + 1)))

    def _alive(self, regime: int) -> Ints:
        """The living styles of a regime, in the order in which they follow each other."""
        half = self._halves[regime % 2]
        return np.random.default_rng([self.settings.seed, 4, regime]).permutation(half)

    def _follows(self, regime: int) -> Ints:
        """`[styles]`: the style that is wanted after each style; a sleeping one leads to a living one."""
        alive, asleep = self.alive(regime), self.alive(regime + 1)
        after = np.empty(STYLES, np.int64)
        after[alive] = np.roll(alive, -1)
        after[asleep] = alive
        return after

    def _awake(self, regime: int) -> Flags:
        """`[styles]`: whether a style is alive in a regime."""
        awake = np.zeros(STYLES, bool)
        awake[self.alive(regime)] = True
        return awake

    def regime(self, day: Floats) -> Ints:
        """The regime of each day of the generated data."""
        at = self.settings.drift_at
        return np.zeros(len(day), np.int64) if at is None else (day >= at).astype(np.int64)

    def weight(self, items: Ints, day: Floats) -> Floats:
        """How much items appeal on their row's day."""
        number, share = epoch(day, self.settings.popularity_drift)
        if not share.any() and not number.any():
            return self.appeal(0).weight[items]
        rows = np.broadcast_to(np.arange(len(items))[:, None], items.shape)
        result = np.zeros(items.shape)
        for one in np.unique(number):
            here = number[rows] == one
            now, soon = self.appeal(int(one)).weight[items], self.appeal(int(one) + 1).weight[items]
            result += here * ((1 - share[rows]) * now + share[rows] * soon)
        return result

    def in_cells(self, rng: np.random.Generator, cells: Ints, days: Floats) -> Ints:
        """An item of each cell that has appeared by its day; any old item where the cell has none."""
        power = rng.random(cells.shape) ** self.settings.proposer_head
        items = np.full(cells.shape, NOTHING)
        for number, rows in self._by_epoch(rng, days):
            known = self.appeal(number)
            first, last = known.first[cells[rows]], known.first[cells[rows] + 1]
            # The power prefers the first of a cell, which appeal most.
            place = first + np.floor(power[rows] * (last - first)).astype(np.int64)
            items[rows] = np.where(last > first, known.members[np.minimum(place, len(known.members) - 1)], NOTHING)
        return self.available(rng, items, days)

    def popular(self, rng: np.random.Generator, days: Floats, regime: int) -> Ints:
        """Items drawn by their appeal, sleeping styles seldom."""
        draws = rng.random(days.shape)
        items = np.empty(days.shape, np.int64)
        for number, rows in self._by_epoch(rng, days):
            items[rows] = np.searchsorted(self._edges(number, regime), draws[rows])
        return self.available(rng, items.clip(0, self.settings.items - 1), days)

    def _popular_edges(self, number: int, regime: int) -> Floats:
        weight = self.appeal(number).weight * np.where(self.awake(regime)[self.style], 1.0, 0.05)
        return np.asarray(np.cumsum(weight / weight.sum()))

    def _by_epoch(self, rng: np.random.Generator, days: Floats) -> list[tuple[int, Ints]]:
        """Rows by the epoch that rules their list: the one before or the one after, by how near each is."""
        number, share = epoch(days[:, 0], self.settings.popularity_drift)
        if self.settings.popularity_drift:
            number = number + (rng.random(len(share)) < share)
        return [(int(one), np.flatnonzero(number == one)) for one in np.unique(number)]

    def available(self, rng: np.random.Generator, items: Ints, days: Floats) -> Ints:
        """The items, an old one in place of NOTHING and of those that have not appeared yet."""
        old = self._always[rng.integers(0, len(self._always), items.shape)]
        return np.where((items == NOTHING) | (self.launch[items] > days), old, items)
