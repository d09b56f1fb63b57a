"""Counting in bounded parts: equal to counting pair by pair, and no user, item or basket makes it blow up."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random

from liverank.config.training import CountConfig
from liverank.ranking import count_weights, transitions
from liverank.ranking.count import CountRanker
from liverank.ranking.data import Events
from liverank.ranking.sparse import largest_of_rows, strongest_of_rows
from liverank.ranking.transitions import (
    SECONDS_PER_DAY,
    decayed_popularity,
    normalised,
    step_matrix,
    strongest_transitions,
    transition_counts,
)
from tests.ranking.test_count import catalogue_of

ITEMS = 9


def events_of(user, item, day, weight=None):
    """Events in the order that features give: by user and time."""
    user, item, day = (np.asarray(column) for column in (user, item, day))
    weight = np.ones(len(user)) if weight is None else np.asarray(weight)
    order = np.lexsort((day, user))
    columns = (user[order].astype(np.int32), item[order].astype(np.int32), np.zeros(len(user), np.int16))
    users = tuple(f"u{at}" for at in range(int(user.max(initial=-1)) + 1))
    seconds = day[order].astype(np.float64) * SECONDS_PER_DAY
    return Events(*columns, weight[order].astype(np.float32), seconds, users, ("click",))


def pair_by_pair(events, items, config, now):
    """The definition, one pair of events at a time, in float64."""
    heaviest = max((float(one) for one in events.weight if one > 0), default=1.0)
    baskets: dict[int, list[dict[float, dict[int, float]]]] = {}
    for user, item, weight, at in zip(events.user, events.item, events.weight, events.timestamp, strict=True):
        steps = baskets.setdefault(int(user), {})
        step = steps.setdefault(float(at), {})
        if weight > 0:
            step[int(item)] = max(step.get(int(item), 0.0), float(weight) / heaviest)
    counts = np.zeros((items, items))
    for steps in baskets.values():
        ordered = sorted(steps.items())
        for place, (_, earlier) in enumerate(ordered):
            for distance in range(config.window + 1):
                if place + distance >= len(ordered):
                    break
                at, later = ordered[place + distance]
                factor = 1 / distance if distance else config.basket_weight
                factor *= 2 ** (-(now - at) / (config.half_life_days * SECONDS_PER_DAY))
                factor /= np.sqrt(max(1, len(earlier)) * max(1, len(later)))
                for i, left in earlier.items():
                    for j, right in later.items():
                        counts[i, j] += factor * left * right * (i != j)
    return counts


@st.composite
def histories(draw):
    rows = draw(st.integers(0, 40))

    def column(values):
        return draw(st.lists(values, min_size=rows, max_size=rows))

    return events_of(
        np.asarray(column(st.integers(0, 3)), np.int64),
        np.asarray(column(st.integers(0, ITEMS - 1)), np.int64),
        np.asarray(column(st.integers(0, 6)), np.int64),
        np.asarray(column(st.sampled_from([-1.0, 0.0, 0.2, 1.0, 3.0])), np.float64),
    )


@given(histories(), st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([1, 3, 2_000_000]))
@settings(max_examples=150)
def test_parts_add_up_to_counting_pair_by_pair(events, window, basket_weight, at_once):
    config = CountConfig(window=window, basket_weight=basket_weight, half_life_days=3)
    now = 6 * SECONDS_PER_DAY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transitions, "PAIRS_AT_ONCE", at_once)
        counts = transition_counts(events, ITEMS, config, now)
        popularity = decayed_popularity(events, ITEMS, 3, now)
        strongest = strongest_transitions(events, ITEMS, config, now, popularity)
    assert counts.shape == strongest.shape == (ITEMS, ITEMS)
    expected = pair_by_pair(events, ITEMS, config, now)
    np.testing.assert_allclose(counts.toarray(), expected, rtol=1e-5, atol=1e-7)
    whole = normalised(counts, popularity, config.popularity_power, config.max_neighbours)
    np.testing.assert_allclose(strongest.toarray(), whole.toarray(), rtol=1e-5, atol=1e-7)


@given(st.integers(0, 40), st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_strongest_of_each_row(rows, columns, most, seed):
    matrix = random(rows, columns, 0.5, format="csr", random_state=seed, dtype=np.float32)
    for cut in (strongest_of_rows(matrix, most), largest_of_rows(matrix, most)):
        assert cut.has_sorted_indices
        for before, after in zip(matrix.toarray(), cut.toarray(), strict=True):
            np.testing.assert_array_equal(np.sort(after)[::-1][:most], np.sort(before)[::-1][:most])
            assert (after[after > 0] == before[after > 0]).all()
            assert np.count_nonzero(after) == min(most, np.count_nonzero(before))


def test_equal_entries_are_chosen_all_over_the_row():
    """Baskets of equal items must not count the first items of the catalogue alone."""
    row = csr_matrix(np.ones((1, 1000), np.float32))
    kept = largest_of_rows(row, 100).indices
    assert len(kept) == 100
    assert 350 < kept.mean() < 650
    np.testing.assert_array_equal(kept, largest_of_rows(row, 100).indices)


def test_a_basket_beyond_the_limit_keeps_its_heaviest():
    weight = np.asarray([1.0, 3.0, 2.0, 0.5, 3.0])
    events = events_of(np.zeros(5, int), np.arange(5), np.ones(5), weight)
    matrix, _, _ = step_matrix(events, 5, 2)
    assert matrix.indices.tolist() == [1, 4]
    whole, _, _ = step_matrix(events, 5, 5)
    assert whole.nnz == 5


def timed(call):
    started = time.process_time()
    result = call()
    return result, time.process_time() - started


def test_giant_baskets_are_counted_in_bounded_time():
    """Two baskets of 100,000 items after one another would be 10^10 pairs."""
    n = 100_000
    events = events_of(np.zeros(2 * n, int), np.tile(np.arange(n), 2), np.repeat([1, 2], n))
    config = CountConfig(max_basket=300, basket_weight=1)
    counts, seconds = timed(lambda: transition_counts(events, n, config, 2 * SECONDS_PER_DAY))
    assert 0 < counts.nnz <= 3 * 300 * 300
    assert seconds < 20


def test_one_user_with_all_events_and_one_item_with_half_of_them():
    n = 300_000
    rng = np.random.default_rng(0)
    item = np.where(rng.random(n) < 0.5, 7, rng.integers(0, 500, n))
    user = np.where(rng.random(n) < 0.999, 0, rng.integers(1, 100, n))
    events = events_of(user, item, np.arange(n) / 3e3)
    titles = [f"title {at}" for at in range(500)]
    ranker, seconds = timed(lambda: CountRanker.fit(catalogue_of(*titles), events, CountConfig()))
    assert ranker.transitions.nnz > 500 * 250
    assert np.isfinite(ranker.weights).all()
    assert seconds < 60


def test_a_hot_item_is_counted_the_same_in_many_parts(monkeypatch):
    rng = np.random.default_rng(1)
    n = 5000
    item = np.where(rng.random(n) < 0.6, 2, rng.integers(0, ITEMS, n))
    events = events_of(rng.integers(0, 30, n), item, rng.integers(0, 200, n))
    config = CountConfig(basket_weight=0.3)
    whole = transition_counts(events, ITEMS, config, 200 * SECONDS_PER_DAY).toarray()
    monkeypatch.setattr(transitions, "PAIRS_AT_ONCE", 50)
    parts = transition_counts(events, ITEMS, config, 200 * SECONDS_PER_DAY).toarray()
    np.testing.assert_allclose(parts, whole, rtol=1e-6)


def test_weights_do_not_depend_on_how_many_requests_are_held_at_once(monkeypatch):
    rng = np.random.default_rng(2)
    n = 6000
    events = events_of(rng.integers(0, 200, n), rng.integers(0, 40, n), rng.integers(0, 90, n))
    catalogue = catalogue_of(*(f"title {at}" for at in range(40)))
    together = CountRanker.fit(catalogue, events, CountConfig()).weights
    monkeypatch.setattr(count_weights, "CELLS_AT_ONCE", 1)
    np.testing.assert_array_equal(CountRanker.fit(catalogue, events, CountConfig()).weights, together)
