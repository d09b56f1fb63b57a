from __future__ import annotations

import numpy as np
import pytest

from liverank.evaluation.bootstrap import Bootstrap


def users(count: int) -> list[str]:
    return [f"u{number}" for number in range(count)]


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    values = np.random.default_rng(0).random(50)
    first, again = (Bootstrap(users(50)).interval(values) for _ in range(2))
    assert first == again
    assert Bootstrap(users(50), seed=8).interval(values) != first


def test_undefined_requests_are_left_out():
    values = np.array([0.2, np.nan, 0.6, np.nan])
    interval = Bootstrap(users(4)).interval(values)
    assert interval.mean == pytest.approx(0.4)
    assert interval.requests == 2
    assert 0.2 <= interval.low <= interval.high <= 0.6


@pytest.mark.parametrize("values", [np.empty(0), np.full(3, np.nan)])
def test_nothing_to_judge_is_nan_not_an_error(values):
    interval = Bootstrap(users(len(values))).interval(values)
    assert np.isnan([interval.mean, interval.low, interval.high]).all()
    assert interval.requests == 0


def test_a_constant_has_no_width():
    interval = Bootstrap(users(20)).interval(np.full(20, 0.3))
    assert (interval.low, interval.high) == pytest.approx((0.3, 0.3))


def test_columns_share_their_resamples():
    """The paired difference of two columns is as tight as that of one: what makes the comparison paired."""
    noise = np.random.default_rng(1).random(200)
    one, two = Bootstrap(users(200)).intervals(np.column_stack([noise, noise + 0.01]))
    assert two.low - one.low == pytest.approx(0.01)
    gap = Bootstrap(users(200)).interval(noise + 0.01 - noise)
    assert gap.high - gap.low < 1e-9


def test_requests_of_one_user_are_one_piece_of_evidence():
    values = np.repeat(np.random.default_rng(2).random(30), 10)
    grouped = Bootstrap([f"u{number // 10}" for number in range(300)]).interval(values)
    naive = Bootstrap(users(300)).interval(values)
    assert grouped.mean == pytest.approx(naive.mean)
    assert grouped.high - grouped.low > 2 * (naive.high - naive.low)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_cover_the_truth_as_often_as_they_say(confidence):
    """Simulation with a known mean: 200 trials put the share within about two standard errors of the promise."""
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(200):
        drawn = rng.beta(2, 3, size=60)
        interval = Bootstrap(users(60), samples=500, confidence=confidence, seed=trial).interval(drawn)
        hits += interval.low <= 0.4 <= interval.high
    assert hits / 200 == pytest.approx(confidence, abs=0.06)


def test_a_subset_keeps_its_users():
    values = np.random.default_rng(4).random(40)
    mask = np.arange(40) % 2 == 0
    assert Bootstrap(users(40)).of(mask).interval(values[mask]).requests == 20
