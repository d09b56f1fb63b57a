"""Counts that take events in as they come are the counts of all of them."""

from __future__ import annotations

import numpy as np
import pytest

from liverank.config.training import CountConfig
from liverank.ranking.count import PRIOR, CountRanker
from liverank.ranking.data import Events
from liverank.ranking.live_counts import LiveCounts
from liverank.ranking.tfidf import TextVectors
from tests.ranking.test_count import catalogue_of

DAY = 86400.0
ITEMS = 15
TYPES = ("click", "purchase", "dislike")
WEIGHTS = np.asarray([1.0, 3.0, -1.0], np.float32)
CATALOGUE = catalogue_of(*(f"text {at}" for at in range(ITEMS)))
TEXT = TextVectors.fit(CATALOGUE.texts)


def stream(seed: int, count: int, days: float = 200) -> Events:
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, count, p=[0.7, 0.2, 0.1]).astype(np.int16)
    user = rng.integers(0, 12, count).astype(np.int32)
    # Whole hours, so that some steps are baskets.
    time = np.floor(rng.uniform(0, days * 24, count)) * 3600
    item = rng.integers(0, ITEMS, count).astype(np.int32)
    events = Events(user, item, kind, WEIGHTS[kind], time, tuple(f"u{at}" for at in range(12)), TYPES)
    return events.where(np.lexsort((time, user)))


def assert_same(live: LiveCounts, events: Events, config: CountConfig) -> None:
    now = float(events.timestamp.max()) + DAY
    mine, whole = live.ranker(TEXT, PRIOR, now), CountRanker.counted(CATALOGUE, events, config, TEXT, PRIOR, now)
    np.testing.assert_allclose(mine.transitions.toarray(), whole.transitions.toarray(), rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(mine.popularity, whole.popularity, rtol=1e-4, atol=1e-6)
    assert mine.type_weights == pytest.approx(whole.type_weights)


@pytest.mark.parametrize("basket_weight", [0.0, 0.5])
@pytest.mark.parametrize("parts", [1, 4, 30])
def test_in_order_of_time_it_is_as_if_counted_at_once(parts, basket_weight):
    config = CountConfig(window=4, basket_weight=basket_weight)
    events = stream(1, 400)
    edges = np.quantile(events.timestamp, np.linspace(0, 1, parts + 2)[1:-1])
    part = np.searchsorted(edges, events.timestamp, side="left")
    live = LiveCounts(CATALOGUE, events.where(part == 0), config)
    for number in range(1, parts + 1):
        live.add(events.where(part == number))
    assert_same(live, events, config)


def test_late_events_within_reach_are_counted_where_they_belong():
    config = CountConfig(window=20)
    events = stream(2, 150)
    late = np.random.default_rng(0).random(len(events)) < 0.3
    live = LiveCounts(CATALOGUE, events.where(~late), config)
    live.add(events.where(late))
    assert_same(live, events, config)


def test_from_nothing_and_with_a_heavier_type_later():
    config = CountConfig(window=3)
    events = stream(3, 200)
    light = events.type == 0
    live = LiveCounts(CATALOGUE, events.where(np.zeros(len(events), bool)), config)
    live.add(events.where(light))
    live.add(events.where(~light))
    live.add(events.where(np.zeros(len(events), bool)))
    mine, whole = live.ranker(TEXT, PRIOR, 0.0), CountRanker.counted(CATALOGUE, events, config, TEXT, PRIOR, 0.0)
    np.testing.assert_allclose(mine.popularity, whole.popularity, rtol=1e-4)


def test_over_many_half_lives_nothing_overflows():
    config = CountConfig(window=3, half_life_days=1, popularity_half_life_days=1, established_half_life_days=2)
    events = stream(4, 300, days=1000)
    live = LiveCounts(CATALOGUE, events.where(events.timestamp < 10 * DAY), config)
    for day in range(10, 1000, 10):
        live.add(events.where((events.timestamp >= day * DAY) & (events.timestamp < (day + 10) * DAY)))
    assert_same(live, events, config)


def test_users_and_types_that_it_never_met_are_taken_in():
    config = CountConfig(window=3)
    live = LiveCounts(CATALOGUE, stream(5, 50), config)
    new = Events(
        np.zeros(2, np.int32), np.asarray([3, 4], np.int32), np.zeros(2, np.int16), np.full(2, 2.0, np.float32),
        np.asarray([300 * DAY, 301 * DAY]), ("somebody",), ("cart",),
    )  # fmt: skip
    before = live.ranker(TEXT, PRIOR, 302 * DAY).transitions[3, 4]
    live.add(new)
    ranker = live.ranker(TEXT, PRIOR, 302 * DAY)
    assert ranker.transitions[3, 4] > before
    assert ranker.type_weights["cart"] == 2.0
