"""Learned weights: the optimum, its prior, and the promise never to be worse than one signal alone."""

from __future__ import annotations

import numpy as np
import pytest

from liverank.ranking.blend import LEAST_LISTS, fit_blend
from liverank.ranking.data import load_requests
from liverank.ranking.listwise import _loss, learn_weights, mean_ndcg, to_lists


def lists_of(count: int, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Lists whose first signal says what is liked, the second nothing."""
    rng = np.random.default_rng(seed)
    signals = [rng.normal(size=(12, 2)).astype(np.float32) for _ in range(count)]
    labels = [(np.arange(12) == int(values[:, 0].argmax())).astype(np.float32) for values in signals]
    return signals, labels


def test_gradient_agrees_with_differences():
    signals, labels = lists_of(30)
    labels[0][:4] = 1
    lists, prior = to_lists(signals, labels), np.asarray([0.3, -0.2])
    at = np.asarray([0.7, 0.1])
    _, gradient = _loss(at, lists, prior, 5.0)
    for which in (0, 1):
        step = np.eye(2)[which] * 1e-2
        difference = (_loss(at + step, lists, prior, 5.0)[0] - _loss(at - step, lists, prior, 5.0)[0]) / 2e-2
        assert gradient[which] == pytest.approx(difference, abs=2e-3)


def test_the_signal_that_knows_gets_the_weight():
    weights = learn_weights(to_lists(*lists_of(400)), np.zeros(2, np.float32), 1.0)
    assert weights[0] > 2
    assert abs(weights[1]) < 0.3


def test_few_lists_leave_the_prior_nearly_alone():
    prior = np.asarray([0.0, 1.0], np.float32)
    few = learn_weights(to_lists(*lists_of(1)), prior, 10.0)
    many = learn_weights(to_lists(*lists_of(400)), prior, 10.0)
    assert np.abs(few - prior).max() < 0.25 < np.abs(many - prior).max()


def test_lists_that_teach_nothing_are_left_out():
    signals, labels = lists_of(3)
    labels[0][:] = 0
    labels[1][:] = 1
    assert len(to_lists(signals, labels)) == 1
    empty = to_lists([], [])
    np.testing.assert_array_equal(learn_weights(empty, np.ones(2, np.float32), 1.0), [1, 1])


def test_ndcg_by_hand():
    labels = [np.asarray([0, 1, 1], np.float32), np.zeros(3, np.float32)]
    scores = [np.asarray([3, 2, 1], np.float32), np.ones(3, np.float32)]
    expected = (1 / np.log2(3) + 1 / np.log2(4)) / (1 + 1 / np.log2(3))
    assert mean_ndcg(scores, labels) == pytest.approx(expected)
    assert mean_ndcg([], []) == 0


def test_blend_is_no_worse_than_any_single_ranker_on_validation(fitted):
    ndcg = fitted[1].validation_ndcg
    assert {"count", "popularity", "zero-shot", "interest", "incoming", "blend"} <= set(ndcg)
    assert ndcg["blend"] >= max(ndcg.values())


def test_too_few_requests_keep_the_prior_and_say_so(bundle, features):
    blend, report = fit_blend(bundle.rankers, load_requests(features, "validation")[: LEAST_LISTS - 1])
    assert any("too few" in note for note in report.notes)
    assert np.isfinite(blend.weights).all()


def test_no_validation_requests_at_all(bundle):
    blend, report = fit_blend(bundle.rankers, [])
    assert report.lists == {"newcomers": 0, "returning": 0}
    assert blend.weights.any()
