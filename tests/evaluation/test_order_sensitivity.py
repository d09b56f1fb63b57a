"""Shuffled candidates: what counts as a change, and which rankers change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.evaluation.order_sensitivity import changed, find_order_sensitivity, shuffled
from liverank.evaluation.scoring import score_rankers
from liverank.ranking.baselines import IncomingOrder, incoming_scores
from liverank.ranking.data import LabelledRequest
from liverank.ranking.protocol import Candidates, Context, History, Request


def asked(number: int, scored: bool) -> LabelledRequest:
    rng = np.random.default_rng(number)
    items = [f"i{at}" for at in rng.permutation(9)]
    scores = rng.normal(size=9).astype(np.float32) if scored else None
    request = Request(History(), Candidates(items, {items[0]: "text"}, scores), Context(0.0), f"u{number}")
    return LabelledRequest(request, f"r{number}", np.eye(9, dtype=np.float32)[0], (items[0],), "impressions")


class ByName:
    """Sound: the score of an item is its own."""

    name = "by name"

    def score_batch(self, requests):
        return [np.array([int(item[1:]) // 2 for item in r.candidates.item_ids], np.float32) for r in requests]


class ByPlace(ByName):
    """Faulty: heeds the place of a candidate whatever the proposer said."""

    name = "by place"

    def score_batch(self, requests):
        return [one + np.arange(len(one), dtype=np.float32) for one in super().score_batch(requests)]


class Rounding(ByName):
    """Sound but for rounding that depends on the place; `gap` between the scores of two items, 0 for some."""

    name = "rounding"

    def __init__(self, gap: float) -> None:
        self.gap = gap

    def score_batch(self, requests):
        places = [(np.arange(len(request.candidates)) % 2).astype(np.float32) for request in requests]
        known = [np.array([int(item[1:]) for item in r.candidates.item_ids], np.float32) for r in requests]
        return [self.gap * one + np.float32(1e-3) * place for one, place in zip(known, places, strict=True)]


def run_on(ranker, scored: bool, requests: int = 40, shuffles: int = 2, most: int = 30):
    lists = [asked(number, scored) for number in range(requests)]
    scores = score_rankers({ranker.name: ranker}, lists)
    (result,) = find_order_sensitivity({ranker.name: ranker}, lists, scores, shuffles, most, 7)
    return result


@pytest.mark.parametrize("scored", [True, False])
def test_a_sound_ranker_does_not_change(scored):
    result = run_on(ByName(), scored)
    assert (result.changed, result.largest_difference, result.changed_without_signal) == (0, 0, 0)
    assert (result.requests, result.shuffles) == (30, 2)
    assert result.order_is_signal == (0 if scored else 1)


@pytest.mark.parametrize("scored", [True, False])
def test_a_ranker_by_place_is_found(scored):
    result = run_on(ByPlace(), scored)
    assert result.changed > 0.9
    assert result.largest_difference >= 1


def test_rounding_below_the_gaps_is_told_but_changes_nothing():
    result = run_on(Rounding(1.0), True)
    assert result.changed == 0
    assert result.largest_difference == pytest.approx(1e-3, rel=1e-2)


def test_rounding_that_tells_like_items_apart_is_a_change():
    assert run_on(Rounding(0.0), True).changed > 0.9


def test_the_incoming_order_follows_scores_and_by_design_nothing_else():
    scored, unscored = run_on(IncomingOrder(), True), run_on(IncomingOrder(), False)
    assert scored.changed == scored.changed_without_signal == 0
    assert unscored.changed == 0  # shuffled lists keep the order as scores
    assert unscored.changed_without_signal > 0.9


def test_nothing_is_tested_where_that_is_not_asked_for():
    assert find_order_sensitivity({}, [asked(0, True)], {}, 0, 10, 7) == []
    assert find_order_sensitivity({}, [], {}, 2, 10, 7) == []


def test_a_few_requests_are_all_taken():
    assert run_on(ByName(), True, requests=3, shuffles=1).requests == 3


_SCORES = st.lists(st.integers(-2, 2), min_size=1, max_size=8).map(lambda row: np.array(row, np.float32))


@given(_SCORES, st.randoms(use_true_random=False))
def test_equal_scores_never_count_as_a_change(scores, random):
    order = np.array(random.sample(range(len(scores)), len(scores)))
    assert not changed(scores, scores, order)


@given(_SCORES, _SCORES, st.randoms(use_true_random=False))
def test_change_agrees_with_the_served_items(first, again, random):
    size = min(len(first), len(again))
    first, again = first[:size], again[:size]
    order = np.array(random.sample(range(size), size))
    served = sorted(range(size), key=lambda at: -first[at])
    places = {int(at): place for place, at in enumerate(order)}
    later = sorted(range(size), key=lambda at: (-again[at], places[at]))
    assert changed(first, again, order) == any(first[a] != first[b] for a, b in zip(served, later, strict=True))


@given(st.integers(0, 99), st.booleans(), st.randoms(use_true_random=False))
def test_shuffling_moves_items_labels_and_scores_together(number, scored, random):
    labelled = asked(number, scored)
    order = np.array(random.sample(range(9), 9))
    moved, lost = shuffled(labelled, order, True), shuffled(labelled, order, False)
    before = dict(zip(labelled.request.candidates.item_ids, incoming_scores(labelled.request.candidates), strict=True))
    after = dict(zip(moved.request.candidates.item_ids, incoming_scores(moved.request.candidates), strict=True))
    assert before == after
    (right,) = [item for item, label in zip(moved.request.candidates.item_ids, moved.labels, strict=True) if label]
    assert right == labelled.truth[0]
    assert moved.request.candidates.texts == labelled.request.candidates.texts
    assert (lost.request.candidates.scores is None) == (not scored)
