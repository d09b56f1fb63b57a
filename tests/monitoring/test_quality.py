"""The comparison of two samples: its interval covers the truth, and knows that one user's requests go together."""

from __future__ import annotations

import numpy as np

from monitoring.quality import Sample, compare, compare_slices
from tests.monitoring.traffic import Traffic, config


def sample(values: np.ndarray, users: np.ndarray | None = None) -> Sample:
    return Sample(values, np.arange(len(values)) if users is None else users)


def test_the_estimate_is_the_relative_loss_of_means():
    found = compare(
        sample(np.full(50, 0.8)), sample(np.full(40, 0.6)), samples=100, confidence=0.95, rng=np.random.default_rng(0)
    )
    assert found is not None
    assert round(found.loss, 9) == 0.25
    assert round(found.difference, 9) == -0.2
    assert (found.n_reference, found.n_window) == (50, 40)


def test_the_interval_covers_the_true_difference():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        sides = sample(rng.beta(2, 2, 120)), sample(rng.beta(2, 3, 80))
        found = compare(*sides, samples=200, confidence=0.9, rng=rng)
        assert found is not None
        covered += found.difference_low <= 0.4 - 0.5 <= found.difference_high
    # Binomial(200, 0.9): 165 to 192 with a probability of 0.999.
    assert 165 <= covered <= 192


def test_a_users_many_requests_are_little_evidence():
    rng = np.random.default_rng(1)
    taste = rng.random(20)
    alone = sample(np.repeat(taste, 30))
    grouped = sample(np.repeat(taste, 30), np.repeat(np.arange(20), 30))
    widths = []
    for window in (alone, grouped):
        found = compare(alone, window, samples=300, confidence=0.95, rng=np.random.default_rng(2))
        assert found is not None
        widths.append(found.loss_high - found.loss_low)
    assert widths[1] > 2 * widths[0]


def test_nothing_to_compare_is_no_comparison():
    rng = np.random.default_rng(0)
    for sides in [(np.zeros(0), np.ones(9)), (np.ones(9), np.ones(1)), (np.zeros(9), np.ones(9))]:
        assert compare(sample(sides[0]), sample(sides[1]), 100, 0.95, rng) is None


def test_slices_are_all_new_users_and_surfaces(tmp_path):
    found = compare_slices(Traffic(1).table(400), Traffic(2).table(300), config(tmp_path), np.random.default_rng(0))
    names = {(one.name, one.metric) for one in found}
    every = {("all", metric) for metric in ("ndcg", "mrr", "hit", "answered")}
    assert names == every | {("new users", "ndcg"), ("surface home", "ndcg"), ("surface search", "ndcg")}
