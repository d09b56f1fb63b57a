"""Weights learned from lists: the optimum, its prior, and what a list is worth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from liverank.ranking.listwise import _loss, learn_weights, mean_ndcg, thinned, to_lists


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


def test_scores_that_are_none_are_refused():
    scores = [np.asarray([np.nan, 2, 1], np.float32)]
    with pytest.raises(ValueError, match="NaN"):
        mean_ndcg(scores, [np.asarray([1, 0, 0], np.float32)])


def test_equal_scores_are_worth_their_mean_over_all_orders():
    scores, labels = np.asarray([1, 2, 1, 1], np.float32), np.asarray([1, 0, 0, 0], np.float32)
    orders = [np.asarray(order) for order in itertools.permutations(range(4))]
    by_chance = np.mean([mean_ndcg([scores[at] + 1e-3 * np.arange(4)], [labels[at]], k=3) for at in orders])
    assert all(mean_ndcg([scores[at]], [labels[at]], k=3) == pytest.approx(by_chance) for at in orders)


def test_weights_from_a_part_of_long_lists_are_those_of_all_of_them():
    rng = np.random.default_rng(4)
    truth = np.asarray([1.5, -0.5, 0.0], np.float32)
    signals, labels = [], []
    for _ in range(300):
        row = rng.normal(size=(3000, 3)).astype(np.float32)
        chance = np.exp(row @ truth)
        signals.append(row)
        labels.append(np.eye(1, 3000, int(rng.choice(3000, p=chance / chance.sum())), dtype=np.float32)[0])
    whole = learn_weights(to_lists(signals, labels), np.zeros(3, np.float32), 1.0)
    kept = [thinned(row @ np.asarray([1, 0, 0], np.float32), label) for row, label in zip(signals, labels, strict=True)]
    rows = [row[chosen] for row, (chosen, _) in zip(signals, kept, strict=True)]
    of = [label[chosen] for label, (chosen, _) in zip(labels, kept, strict=True)]
    part = learn_weights(to_lists(rows, of, [stands for _, stands in kept]), np.zeros(3, np.float32), 1.0)
    assert len(rows[0]) < 3000 / 4
    np.testing.assert_allclose(part, whole, atol=0.1)
    np.testing.assert_allclose(part, truth, atol=0.2)
