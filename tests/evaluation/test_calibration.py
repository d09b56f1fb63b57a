"""Scores as probabilities: hand-computed, against scikit-learn and scipy, and on simulations with known truth."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from liverank.evaluation.bootstrap import Bootstrap
from liverank.evaluation.calibration import BINS, find_calibration
from liverank.evaluation.metrics.probability import (
    answered_lists,
    best_temperature,
    brier,
    calibration_error,
    equal_mass_bins,
    log_loss,
    probabilities,
)
from liverank.ranking.data import LabelledRequest
from liverank.ranking.protocol import Candidates, Context, History, Request


def simulated(lists: int, candidates: int, sharpness: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and answers drawn from softmax(scores * sharpness): the scores' right temperature is 1 / sharpness."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(lists, candidates)) * 1.5
    right = (softmax(scores * sharpness, axis=1).cumsum(axis=1) > rng.random((lists, 1))).argmax(axis=1)
    return scores, np.eye(candidates)[right]


def labelled(labels: np.ndarray, user: str) -> LabelledRequest:
    request = Request(History(), Candidates([f"i{at}" for at in range(len(labels))]), Context(0.0), user)
    return LabelledRequest(request, "r", labels.astype(np.float32), (), "impressions")


# Hand-computed.


def test_probabilities_brier_and_log_loss_hand_computed():
    lists, kept = answered_lists(
        [np.array([log(3.0), 0.0]), np.array([0.0, 5.0]), np.zeros(4)],
        [np.array([1, 0]), np.zeros(2), np.array([1, 0, 2, 0])],
    )
    assert kept.tolist() == [0, 2]  # nobody answered the second
    assert lists.sizes.tolist() == [2, 4]
    assert lists.target.tolist() == [1, 0, 0.5, 0, 0.5, 0]  # two answers are half an answer each
    probability = probabilities(lists)
    assert probability == pytest.approx([3 / 4, 1 / 4, *[1 / 4] * 4])
    assert brier(lists, probability) == pytest.approx([2 / 16, 4 / 16])
    assert log_loss(lists) == pytest.approx([log(4 / 3), log(4)])
    assert probabilities(lists, 0.5)[0] == pytest.approx(9 / 10)


def test_calibration_error_hand_computed():
    probability = np.array([0.1, 0.1, 0.3, 0.3])
    target = np.array([0.0, 0.0, 1.0, 0.0])
    bins = equal_mass_bins(probability, 2)
    assert bins.tolist() == [0, 0, 1, 1]
    assert calibration_error(probability, target, bins) == pytest.approx((0.2 + 0.4) / 4)
    assert np.isnan(calibration_error(np.empty(0), np.empty(0), np.empty(0, np.int64)))


def test_equal_probabilities_share_a_bin():
    assert len(set(equal_mass_bins(np.full(50, 0.02), 10))) == 1


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], [1], []])
def test_lists_without_an_answer_or_a_choice_say_nothing(labels):
    lists, kept = answered_lists([np.zeros(len(labels))], [np.array(labels)])
    assert len(lists) == len(kept) == 0
    assert np.isnan(best_temperature(lists))
    assert len(probabilities(lists)) == len(brier(lists, np.empty(0))) == len(log_loss(lists)) == 0
    assert (
        find_calibration("blend", [labelled(np.array(labels), "u")], [np.zeros(len(labels))], Bootstrap(["u"])) is None
    )


# Invariants.


@given(st.integers(2, 9), st.floats(-50, 50), st.floats(0.1, 10), st.integers(0, 99))
def test_probabilities_sum_to_one_and_know_no_offset(candidates, offset, temperature, seed):
    scores, labels = simulated(4, candidates, 1.0, seed)
    lists, _ = answered_lists(list(scores), list(labels))
    moved, _ = answered_lists(list(scores + offset), list(labels))
    probability = probabilities(lists, temperature)
    assert np.add.reduceat(probability, lists.starts) == pytest.approx(np.ones(4))
    assert probabilities(moved, temperature) == pytest.approx(probability, abs=1e-9)
    assert probability.reshape(4, -1) == pytest.approx(softmax(scores / temperature, axis=1))
    assert (brier(lists, probability) >= 0).all()
    assert (brier(lists, probability) <= 2).all()


@given(st.integers(0, 99), st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(seed, random):
    scores, labels = simulated(30, 6, 1.0, seed)
    order = np.array(random.sample(range(6), 6))
    one, _ = answered_lists(list(scores), list(labels))
    two, _ = answered_lists(list(scores[:, order]), list(labels[:, order]))
    values = [
        (brier(of, p).mean(), log_loss(of).mean(), calibration_error(p, of.target, equal_mass_bins(p, 5)))
        for of in (one, two)
        for p in [probabilities(of)]
    ]
    assert values[0] == pytest.approx(values[1])


@given(st.integers(1, 300), st.integers(1, 20), st.integers(0, 99))
def test_bins_hold_equal_numbers(rows, bins, seed):
    sizes = np.bincount(equal_mass_bins(np.random.default_rng(seed).random(rows), bins))
    assert sizes.sum() == rows
    assert len(sizes) <= bins
    if rows >= bins:
        assert sizes.max() - sizes.min() <= 2


# Second implementations.


def test_agreement_with_scikit_learn():
    scores, labels = simulated(400, 5, 0.7, 1)
    lists, _ = answered_lists(list(scores), list(labels))
    probability = probabilities(lists)
    binary = brier_score_loss(lists.target, probability)
    assert brier(lists, probability).mean() == pytest.approx(binary * 5)
    right = labels.argmax(axis=1)
    assert log_loss(lists).mean() == pytest.approx(sklearn_log_loss(right, probability.reshape(400, 5)))
    answered, said = calibration_curve(lists.target, probability, n_bins=BINS, strategy="quantile")
    requests = [labelled(row, f"u{at}") for at, row in enumerate(labels)]
    found = find_calibration("blend", requests, list(scores), Bootstrap([r.request.user_id for r in requests], 100))
    assert [one.probability for one in found.bins] == pytest.approx(list(said), abs=1e-3)
    assert [one.answered.mean for one in found.bins] == pytest.approx(list(answered), abs=0.02)
    expected = sum(one.candidates * abs(one.probability - one.answered.mean) for one in found.bins) / len(probability)
    assert found.as_scored.ece == pytest.approx(expected)


# Simulations with known truth.


def test_the_error_of_calibrated_scores_goes_to_nothing():
    errors = []
    for lists in (50, 500, 50_000):
        scores, labels = simulated(lists, 8, 1.0, lists)
        answered, _ = answered_lists(list(scores), list(labels))
        probability = probabilities(answered)
        errors.append(calibration_error(probability, answered.target, equal_mass_bins(probability, BINS)))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.002


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 2.5])
def test_the_temperature_that_made_the_answers_is_found(sharpness):
    scores, labels = simulated(20_000, 8, sharpness, 3)
    lists, _ = answered_lists(list(scores), list(labels))
    assert best_temperature(lists) == pytest.approx(1 / sharpness, rel=0.04)


def test_no_other_temperature_is_more_probable():
    scores, labels = simulated(300, 6, 0.5, 5)
    lists, _ = answered_lists(list(scores), list(labels))
    best = log_loss(lists, best_temperature(lists)).mean()
    assert all(best <= log_loss(lists, exp(at)).mean() + 1e-9 for at in np.linspace(-3, 4, 200))


def test_scores_that_say_nothing_ask_for_the_largest_temperature():
    rng = np.random.default_rng(0)
    labels = np.eye(4)[rng.integers(0, 4, 2000)]
    against = rng.normal(size=(2000, 4)) - 2 * labels
    lists, _ = answered_lists(list(against), list(labels))
    assert best_temperature(lists) > 300


def test_a_temperature_mends_what_is_too_sure():
    scores, labels = simulated(5000, 8, 0.3, 9)
    requests = [labelled(row, f"u{at % 900}") for at, row in enumerate(labels)]
    found = find_calibration("blend", requests, list(scores), Bootstrap([r.request.user_id for r in requests], 100))
    assert found.temperature == pytest.approx(1 / 0.3, rel=0.1)
    assert found.at_temperature.ece < found.as_scored.ece / 5
    assert found.at_temperature.brier.mean < found.uniform_brier < found.as_scored.brier.mean
    assert found.at_temperature.log_loss.mean < found.uniform_log_loss == pytest.approx(log(8))
    assert found.as_scored.ece_per_list == pytest.approx(found.as_scored.ece * 8)
    last = found.bins[-1]
    assert last.answered.high < last.probability


def test_users_are_resampled_in_the_bins():
    scores, labels = simulated(600, 5, 1.0, 2)
    wide, narrow = (
        find_calibration("blend", requests, list(scores), Bootstrap([r.request.user_id for r in requests], 300))
        for users in (10, 600)
        for requests in [[labelled(row, f"u{at % users}") for at, row in enumerate(labels)]]
    )
    assert wide.lists == narrow.lists == 600
    assert wide.as_scored.brier.mean == pytest.approx(narrow.as_scored.brier.mean)
    assert wide.as_scored.brier.low != narrow.as_scored.brier.low
