"""What users of the synthetic world want, what an upstream proposer shows them, and how likely they click."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverank.data.audience import Audience, cohorts
from liverank.data.catalogue import NOTHING, Catalogue, Flags, Floats, Ints
from liverank.data.synthetic_settings import SyntheticSettings
from liverank.data.vocabulary import STYLES, TOPICS

__all__ = ["NOTHING", "Floats", "Intent", "Ints", "State", "SyntheticSettings", "Tastes", "plackett_luce"]

LED, SAME_TOPIC = 0.9, 0.5
"""Chances that what was clicked last decides the style, and the topic, that is wanted next."""
MEMORY = 64
"""Clicks that a user remembers."""
LIKES_STYLE, LIKES_TOPIC, LIKES_BOTH, LIKES_TASTE = 2.0, 0.6, 2.4, 1.0
LIKES_QUALITY, MINDS_ASLEEP, LIKES_AGAIN, SEEKS = 0.35, 3.0, 1.0, 4.0


class State:
    """What users did so far, as far as it decides what they want: the item clicked last and the MEMORY last ones."""

    def __init__(self, users: int) -> None:
        self.last = np.full(users, NOTHING)
        self.memory = np.full((users, MEMORY), NOTHING)
        self._next = np.zeros(users, np.int64)

    def remember(self, users: Ints, items: Ints) -> None:
        """Clicks in the order in which they happened; users may come more than once."""
        self.last[users] = items
        order = np.argsort(users, kind="stable")
        users, items = users[order], items[order]
        place = np.arange(len(users)) - np.searchsorted(users, users)
        self.memory[users, (self._next[users] + place) % MEMORY] = items
        np.add.at(self._next, users, 1)

    def part(self, users: slice) -> State:
        """The state of some users."""
        result = State(0)
        result.last, result.memory, result._next = self.last[users], self.memory[users], self._next[users]
        return result


@dataclass
class Intent:
    """What users want right now, one entry a request: a style, a topic (hidden from every model), and old items."""

    users: Ints
    day: Floats
    styles: Ints
    topics: Ints
    again: Ints
    sought: Ints
    """`[requests, MEMORY]`: earlier items that are looked for, NOTHING where none is."""
    seen: Ints
    """`[requests, MEMORY]`: what the user clicked lately."""


class Tastes:
    """The hidden truth of some users and all items; users are named by their place in the audience."""

    def __init__(self, settings: SyntheticSettings, catalogue: Catalogue, audience: Audience) -> None:
        self.settings, self.catalogue, self.audience = settings, catalogue, audience

    @classmethod
    def of(cls, settings: SyntheticSettings) -> Tastes:
        """The truth of all users."""
        return cls(settings, Catalogue(settings), Audience(settings, cohorts(settings)))

    def intent(self, rng: np.random.Generator, users: Ints, day: Floats, state: State, regime: int) -> Intent:
        """Draws what users want next; `day` is the day of each request."""
        n, last = len(users), state.last[users]
        favourite = self._favourite(rng, users, day, regime)
        topic = _draw_rows(rng, self.audience.taste(users, day))
        known = last != NOTHING
        led = known & (rng.random(n) < LED)
        styles = np.where(led, self.catalogue.follows(regime)[self.catalogue.style[last]], favourite)
        topics = np.where(known & (rng.random(n) < SAME_TOPIC), self.catalogue.topic[last], topic)
        again = np.where(rng.random(n) < self.settings.again_share, last, NOTHING)
        seen = state.memory[users]
        sought = np.full((n, MEMORY), NOTHING)
        if self.settings.repeat_share:
            sought = np.where((rng.random(n) < self.settings.repeat_share)[:, None], seen, NOTHING)
        return Intent(users, day, styles, topics, again, sought, seen)

    def _favourite(self, rng: np.random.Generator, users: Ints, day: Floats, regime: int) -> Ints:
        now, soon, share = self.audience.favourites(users, day)
        which = rng.integers(0, 2, len(users))
        rows = np.arange(len(users))
        if self.settings.taste_drift:
            now = np.where((rng.random(len(users)) < share)[:, None], soon, now)
        return self.catalogue.alive(regime)[now[rows, which]]

    def attraction(self, intent: Intent, items: Ints, regime: int) -> Floats:
        """`[requests, candidates]`: the chance of a click on an item that is looked at; 0 for NOTHING."""
        style, topic = self.catalogue.style[items], self.catalogue.topic[items]
        taste = np.take_along_axis(self.audience.taste(intent.users, intent.day), topic, axis=1)
        logit = self.base(items, taste, regime)
        same_style = style == intent.styles[:, None]
        same_topic = topic == intent.topics[:, None]
        logit += LIKES_STYLE * same_style + LIKES_TOPIC * same_topic + LIKES_BOTH * (same_style & same_topic)
        logit += LIKES_AGAIN * (items == intent.again[:, None])
        if self.settings.repeat_share:
            logit += SEEKS * among(items, intent.sought)
        return np.where(items == NOTHING, 0.0, 1 / (1 + np.exp(-logit)))

    def base(self, items: Ints, taste: Floats, regime: int) -> Floats:
        """Log-odds of a click by what is not hidden in the moment: taste for the topic, quality, a style asleep."""
        asleep = ~self.catalogue.awake(regime)[self.catalogue.style[items]]
        logit = self.settings.click_logit + LIKES_TASTE * taste
        return np.asarray(logit + LIKES_QUALITY * self.catalogue.quality[items] - MINDS_ASLEEP * asleep)

    def propose(self, rng: np.random.Generator, intent: Intent, regime: int, size: int) -> tuple[Ints, Floats]:
        """What a mediocre upstream proposer shows: `[requests, size]` distinct items (NOTHING at the end) and scores.

        It mixes items that are wanted, items of the user's topics, popular and random ones; its scores know the user's
        topics and what is popular, but not what goes with what.
        """
        n, wide, world = len(intent.users), 2 * size, self.catalogue
        kind = rng.choice(5, p=[0.2, 0.1, 0.25, 0.3, 0.15], size=(n, wide))
        days = np.broadcast_to(intent.day[:, None], (n, wide))
        tastes = self.audience.taste(intent.users, intent.day)
        living = world.alive(regime)[rng.integers(0, STYLES // 2, (n, wide))]
        style = np.where(kind <= 1, intent.styles[:, None], living)
        topic = np.where(kind == 0, intent.topics[:, None], _draw_rows(rng, tastes, wide))
        items = world.in_cells(rng, style * TOPICS + topic, days)
        items = np.where(kind == 3, world.popular(rng, days, regime), items)
        items = np.where(kind == 4, world.available(rng, rng.integers(0, len(world.topic), (n, wide)), days), items)
        items[:, 0] = np.where(intent.again == NOTHING, items[:, 0], intent.again)
        if self.settings.repeat_share:
            half = size // 2
            earlier = np.take_along_axis(intent.sought, rng.integers(0, MEMORY, (n, half)), axis=1)
            items[:, 1 : 1 + half] = np.where(earlier == NOTHING, items[:, 1 : 1 + half], earlier)
        if self.settings.hide_seen:
            items = np.where(among(items, intent.seen), NOTHING, items)
        items = _distinct(rng, items, size)
        return items, self._proposer_scores(rng, intent.day, tastes, items)

    def _proposer_scores(self, rng: np.random.Generator, day: Floats, tastes: Floats, items: Ints) -> Floats:
        taste = np.take_along_axis(tastes, self.catalogue.topic[items], axis=1)
        appeal = np.log(self.catalogue.weight(items, day) * self.settings.items)
        scores = 1.5 * taste + 0.25 * appeal + rng.normal(0, 0.3, items.shape)
        return np.where(items == NOTHING, -np.inf, scores)


def plackett_luce(rng: np.random.Generator, scores: Floats) -> tuple[Ints, Floats]:
    """Orders each row by a draw of Plackett-Luce; gives the order and each pick's chance given those above it."""
    order = np.argsort(-(scores + rng.gumbel(size=scores.shape)), axis=1)
    weight = np.exp(np.take_along_axis(scores, order, axis=1))
    left = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
    return order, weight / np.maximum(left, 1e-300)


def among(items: Ints, known: Ints) -> Flags:
    """`[rows, items]`: whether an item is among its row's known ones."""
    found = np.zeros(items.shape, bool)
    for column in known.T:
        found |= items == column[:, None]
    return found & (items != NOTHING)


def _draw_rows(rng: np.random.Generator, weights: Floats, times: int = 0) -> Ints:
    """One column index a row (`times` of them) with the row's chances."""
    edges = np.cumsum(weights, axis=1)
    draws = rng.random((len(weights), max(times, 1)))
    picked = np.zeros(draws.shape, np.int64)
    for edge in edges.T[:-1]:
        picked += draws > edge[:, None]
    return picked if times else picked[:, 0]


def _distinct(rng: np.random.Generator, items: Ints, size: int) -> Ints:
    """`size` of each row's distinct items in random order, then NOTHING."""
    order = np.argsort(items, axis=1, kind="stable")
    ranked = np.take_along_axis(items, order, axis=1)
    again = ranked == NOTHING
    again[:, 1:] |= ranked[:, 1:] == ranked[:, :-1]
    ranked = np.where(again, NOTHING, ranked)
    key = np.where(again, 2.0, rng.random(items.shape))
    return np.take_along_axis(ranked, np.argsort(key, axis=1)[:, :size], axis=1)
