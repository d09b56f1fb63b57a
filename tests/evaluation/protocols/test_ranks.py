"""Ranks, metrics, lists and the plain recipes, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.errors import BundleError
from liverank.evaluation.protocols.leave_one_out import leave_one_out
from liverank.evaluation.protocols.plain_counts import PlainCounts, together
from liverank.evaluation.protocols.ranks import best_rows, metrics, truth_ranks
from liverank.evaluation.protocols.scoring import rank, scatter
from liverank.evaluation.protocols.two_stage import new_ranks
from tests.evaluation.protocols.made import sequences


def rows(*numbers: int) -> np.ndarray:
    return np.asarray(numbers, np.int64)


def test_ties_stand_in_the_order_of_rows():
    scores = np.asarray([[1, 2, 2, 2, 0], [-np.inf, 3, 1, 1, -np.inf]], np.float32)
    found = truth_ranks(scores, [rows(3, 0), rows(3)])
    assert [of.tolist() for of in found] == [[3, 4], [3]]
    assert truth_ranks(scores[:0], []) == []


def test_the_best_rows_skip_what_is_no_candidate():
    scores = np.asarray([[1, 2, 2, 2, 0], [-np.inf, 3, 1, 1, -np.inf]], np.float32)
    assert best_rows(scores, 2).tolist() == [[1, 2], [1, 2]]
    assert best_rows(scores, 4).tolist() == [[1, 2, 3, 0], [1, 2, 3, -1]]
    assert best_rows(scores, 9).shape == (2, 5)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=30), st.data())
def test_the_rank_is_the_place_among_the_best(values, data):
    scores = np.asarray([values], np.float32)
    truth = data.draw(st.integers(0, len(values) - 1))
    rank = truth_ranks(scores, [rows(truth)])[0][0]
    assert best_rows(scores, len(values))[0, rank - 1] == truth


def test_metrics_of_one_truth():
    found = metrics([rows(1), rows(3), rows(11)], 10)
    assert found["ndcg"].tolist() == pytest.approx([1, 0.5, 0])
    assert found["hit_rate"].tolist() == found["recall"].tolist() == [1, 1, 0]
    assert found["mrr"].tolist() == pytest.approx([1, 1 / 3, 1 / 11])


def test_metrics_of_several_truths():
    found = metrics([rows(2, 40, 4)], 10)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert found["ndcg"][0] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / ideal)
    assert (found["hit_rate"][0], found["mrr"][0]) == (1, 0.5)
    assert found["recall"][0] == pytest.approx(2 / 3)


def test_a_truth_outside_the_list_keeps_the_retrievers_rank():
    assert new_ranks(rows(7, 3, 5), rows(5), rows(1)).tolist() == [3]
    assert new_ranks(rows(7, 3, 5), rows(9), rows(57)).tolist() == [57]


def test_transitions_by_hand():
    recipe = PlainCounts.fit([rows(0, 1, 2), rows(0, 1)], ["", "", ""])
    # 0 -> 1 counts 2, 0 -> 2 counts 1/2, 1 -> 2 counts 1; the items have 2, 2 and 1 events.
    first = np.asarray([0, 2 / (2.5**0.5 * 2**0.35), 0.5 / 2.5**0.5])
    assert recipe.transitions.toarray()[0] == pytest.approx(first)
    assert recipe.transitions.toarray()[1] == pytest.approx([0, 0, 1])
    # The last item asks as 1, the one before as 0.7.
    assert recipe.counted([rows(1, 0)])[0] == pytest.approx(first + 0.7 * np.asarray([0, 0, 1]))
    assert recipe.counted([rows()])[0].tolist() == [0, 0, 0]


def test_only_ten_items_ask_and_distance_ends_at_five():
    recipe = PlainCounts.fit([rows(*range(12))], [""] * 12)
    assert recipe.transitions[0].nonzero()[1].tolist() == [1, 2, 3, 4, 5]
    old = recipe.counted([rows(0, *[11] * 10)])
    assert not old.any()


def test_text_is_the_cosine_of_shared_terms():
    recipe = PlainCounts.fit([rows(0, 1)], ["red ball", "red ball", "blue box", "blue box red"])
    similar = recipe.similar([rows(0)])[0]
    assert similar[1] == pytest.approx(1)
    assert 0 < similar[3] < similar[1]
    assert similar[2] == 0


def test_each_side_is_divided_by_its_maximum():
    counted = np.asarray([[4, 2, -np.inf], [0, 0, -np.inf]], np.float32)
    similar = np.asarray([[0, 5, -np.inf], [1, 2, -np.inf]], np.float32)
    both = together(counted, similar, 0.5)
    assert both[0].tolist() == [1, 1, -np.inf]
    assert both[1].tolist() == [0.25, 0.5, -np.inf]
    assert together(counted, similar, 0.0)[:, 2].tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_none_has_no_rank(tmp_path, bad):
    """All comparisons with NaN are false: without a check what is wanted would be first."""
    split = leave_one_out(sequences(tmp_path, {"u": "abc", "v": "bcd", "w": "cde"}))

    def scorer(requests):
        given = [np.full(len(request.candidates), bad, np.float32) for request in requests]
        return {"odd": scatter("odd", given, requests, len(split.log.catalogue))}

    with pytest.raises(BundleError, match="Ranker odd gave a score that is not finite"):
        rank(split, split.test, scorer)
    if bad != -np.inf:  # Which is no candidate, where no ranker is asked.
        with pytest.raises(BundleError, match="Ranker odd gave a score that is not finite"):
            rank(split, split.test, lambda requests: {"odd": np.full((len(requests), 8), bad, np.float32)})
