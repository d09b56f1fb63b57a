"""The hidden truth of the synthetic world: who likes what, what goes together, and what an upstream proposer shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from liverank.config.base import Section
from liverank.data.vocabulary import STYLES, TOPICS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
NOTHING = -1
"""In arrays of items, styles and topics: there is none."""


class SyntheticSettings(Section):
    """Size, seed and switches of the synthetic world."""

    users: int = Field(2500, ge=1, description="Users.")
    items: int = Field(1200, ge=20, description="Items.")
    days: int = Field(60, ge=1, description="Days of traffic, from 2026-01-01 UTC on.")
    impressions_per_user: float = Field(7.3, ge=1, le=60, description="Mean lists shown to a user.")
    shown: int = Field(20, ge=2, le=100, description="Items in a shown list.")
    seed: int = Field(7, ge=0, description="Seed of everything.")
    drift_at: float | None = Field(None, ge=0, description="Day from which other things go together; empty: never.")
    dirt: float = Field(0.0, ge=0, le=0.5, description="Share of interactions that get a dirty row beside them.")
    position_power: float = Field(0.3, ge=0, description="Power p: position k is looked at with chance 1 / k**p.")
    explore_share: float = Field(0.1, ge=0, le=1, description="Share of lists in random order (surface `explore`).")
    chinese_share: float = Field(0.3, ge=0, le=1, description="Share of items whose text is Chinese.")
    style_in_text: float = Field(0.35, ge=0, le=1, description="Share of items whose text shows their hidden style.")
    new_items: float = Field(0.15, ge=0, le=0.9, description="Share of items that appear while traffic runs.")


def examination(position: npt.ArrayLike, power: float) -> Floats:
    """The chance that a list's position (1 is the top) is looked at: 1 / position**power."""
    return np.asarray(position, np.float64) ** -power


@dataclass
class Intent:
    """What users want right now, one entry a request: a style, a topic (hidden from every model), and an old item."""

    users: Ints
    styles: Ints
    topics: Ints
    again: Ints


class Tastes:
    """Items' hidden styles and topics, users' tastes and, for each regime, which style follows which.

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
        self.appeal = rng.permutation(np.arange(1, n + 1)).astype(float) ** -0.7
        self._index_cells()
        self._user_rng_seed = [settings.seed, 2]
        self.topic_taste = np.empty((0, TOPICS))
        self.favourites = np.empty((0, 2), np.int64)
        self.add_users(settings.users)
        self._halves = np.random.default_rng([settings.seed, 3]).permutation(STYLES).reshape(2, -1)

    def _index_cells(self) -> None:
        cell = self.style * TOPICS + self.topic
        self._members = np.lexsort((-self.appeal, cell))
        self._first = np.searchsorted(cell[self._members], np.arange(STYLES * TOPICS + 1))
        self._always = np.flatnonzero(self.launch == 0)

    def add_users(self, count: int) -> None:
        """Adds users with tastes of their own."""
        start = len(self.topic_taste)
        rng = np.random.default_rng([*self._user_rng_seed, start])
        self.topic_taste = np.vstack([self.topic_taste, rng.dirichlet(np.full(TOPICS, 0.35), count)])
        # Ranks within a regime's living half, so that a drift moves everybody's favourites.
        self.favourites = np.vstack([self.favourites, rng.integers(0, STYLES // 2, (count, 2))])

    def alive(self, regime: int) -> Ints:
        """The living styles of a regime, in the order in which they follow each other."""
        half = self._halves[regime % 2]
        return np.random.default_rng([self.settings.seed, 4, regime]).permutation(half)

    def follows(self, regime: int) -> Ints:
        """`[styles]`: the style that is wanted after each style; a sleeping one leads to a living one."""
        alive, asleep = self.alive(regime), self.alive(regime + 1)
        after = np.empty(STYLES, np.int64)
        after[alive] = np.roll(alive, -1)
        after[asleep] = alive
        return after

    def intent(self, rng: np.random.Generator, users: Ints, last: Ints, regime: int) -> Intent:
        """Draws what users want next; `last` is the item each one clicked last, or NOTHING."""
        n = len(users)
        favourite = self.alive(regime)[self.favourites[users, rng.integers(0, 2, n)]]
        topic = _draw_rows(rng, self.topic_taste[users])
        known = last != NOTHING
        led = known & (rng.random(n) < 0.9)
        styles = np.where(led, self.follows(regime)[self.style[last]], favourite)
        topics = np.where(known & (rng.random(n) < 0.5), self.topic[last], topic)
        return Intent(users, styles, topics, np.where(rng.random(n) < 0.25, last, NOTHING))

    def attraction(self, intent: Intent, items: Ints, regime: int) -> Floats:
        """`[requests, candidates]`: the chance of a click on an item that is looked at; 0 for NOTHING."""
        style, topic = self.style[items], self.topic[items]
        same_style = style == intent.styles[:, None]
        same_topic = topic == intent.topics[:, None]
        asleep = ~np.isin(style, self.alive(regime))
        taste = np.take_along_axis(self.topic_taste[intent.users], topic, axis=1)
        logit = -4.2 + 2.0 * same_style + 0.6 * same_topic + 2.4 * (same_style & same_topic) + 1.0 * taste
        logit += 0.35 * self.quality[items] - 3.0 * asleep + 1.0 * (items == intent.again[:, None])
        return np.where(items == NOTHING, 0.0, 1 / (1 + np.exp(-logit)))

    def propose(
        self, rng: np.random.Generator, intent: Intent, day: Floats, regime: int, size: int
    ) -> tuple[Ints, Floats]:
        """What a mediocre upstream proposer shows: `[requests, size]` distinct items (NOTHING at the end) and scores.

        It mixes items that are wanted, items of the user's topics, popular and random ones; its scores know the user's
        topics and what is popular, but not what goes with what.
        """
        n, wide = len(intent.users), 2 * size
        kind = rng.choice(5, p=[0.2, 0.1, 0.25, 0.3, 0.15], size=(n, wide))
        days = np.broadcast_to(day[:, None], (n, wide))
        living = self.alive(regime)[rng.integers(0, STYLES // 2, (n, wide))]
        style = np.where(kind <= 1, intent.styles[:, None], living)
        topic = np.where(kind == 0, intent.topics[:, None], _draw_rows(rng, self.topic_taste[intent.users], wide))
        items = self._in_cells(rng, style * TOPICS + topic, days)
        items = np.where(kind == 3, self._popular(rng, days, regime), items)
        items = np.where(kind == 4, self._available(rng, rng.integers(0, self.settings.items, (n, wide)), days), items)
        items[:, 0] = np.where(intent.again == NOTHING, items[:, 0], intent.again)
        items = _distinct(rng, items)[:, :size]
        return items, self._proposer_scores(rng, intent, items)

    def _proposer_scores(self, rng: np.random.Generator, intent: Intent, items: Ints) -> Floats:
        taste = np.take_along_axis(self.topic_taste[intent.users], self.topic[items], axis=1)
        scores = 1.5 * taste + 0.25 * np.log(self.appeal[items] * self.settings.items) + rng.normal(0, 0.3, items.shape)
        return np.where(items == NOTHING, -np.inf, scores)

    def _in_cells(self, rng: np.random.Generator, cells: Ints, day: Floats) -> Ints:
        """An item of each cell that has appeared by `day`; any old item where the cell has none."""
        first, last = self._first[cells], self._first[cells + 1]
        # The power prefers the first of a cell, which appeal most.
        place = first + np.floor(rng.random(cells.shape) ** 3 * (last - first)).astype(np.int64)
        items = np.where(last > first, self._members[np.minimum(place, len(self._members) - 1)], NOTHING)
        return self._available(rng, items, day)

    def _popular(self, rng: np.random.Generator, day: Floats, regime: int) -> Ints:
        weight = self.appeal * np.where(np.isin(self.style, self.alive(regime)), 1.0, 0.05)
        edges = np.cumsum(weight / weight.sum())
        drawn = np.searchsorted(edges, rng.random(day.shape)).clip(0, self.settings.items - 1)
        return self._available(rng, drawn, day)

    def _available(self, rng: np.random.Generator, items: Ints, day: Floats) -> Ints:
        old = self._always[rng.integers(0, len(self._always), items.shape)]
        return np.where((items == NOTHING) | (self.launch[items] > day), old, items)


def plackett_luce(rng: np.random.Generator, scores: Floats) -> tuple[Ints, Floats]:
    """Orders each row by a draw of Plackett-Luce; gives the order and each pick's chance given those above it."""
    order = np.argsort(-(scores + rng.gumbel(size=scores.shape)), axis=1)
    weight = np.exp(np.take_along_axis(scores, order, axis=1))
    left = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
    return order, weight / np.maximum(left, 1e-300)


def _draw_rows(rng: np.random.Generator, weights: Floats, times: int = 0) -> Ints:
    """One column index a row (`times` of them) with the row's chances."""
    edges = np.cumsum(weights, axis=1)
    draws = rng.random((len(weights), max(times, 1)))
    picked = (draws[:, :, None] > edges[:, None, :-1]).sum(axis=2)
    return picked if times else picked[:, 0]


def _distinct(rng: np.random.Generator, items: Ints) -> Ints:
    """Each row's distinct items in random order, then NOTHING."""
    order = np.argsort(items, axis=1, kind="stable")
    ranked = np.take_along_axis(items, order, axis=1)
    again = np.zeros(items.shape, bool)
    again[:, 1:] = ranked[:, 1:] == ranked[:, :-1]
    ranked = np.where(again, NOTHING, ranked)
    key = np.where(again, 2.0, rng.random(items.shape))
    return np.take_along_axis(ranked, np.argsort(key, axis=1), axis=1)
