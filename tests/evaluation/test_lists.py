from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from liverank.errors import DataError
from liverank.evaluation.lists import PADDING, build_lists
from liverank.ranking.protocol import ranking
from tests.evaluation.tables import as_given, judged_lists, lists_of


def test_ranks_by_score_and_pads_on_the_right():
    ranked = lists_of(("abc", [0, 1, 0]), ("d", [1])).ranked([np.array([1.0, 3.0, 2.0]), np.array([5.0])])
    assert ranked.items.tolist() == [[1, 2, 0], [3, PADDING, PADDING]]
    assert ranked.gains.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert ranked.lengths.tolist() == [3, 1]


@given(judged_lists())
def test_ties_keep_the_incoming_order_as_serving_does(drawn):
    lists, scores = drawn
    ranked = lists.ranked(scores)
    for row, given_scores in enumerate(scores):
        assert ranked.items[row, : len(given_scores)].tolist() == lists.items[row][ranking(given_scores)].tolist()


def test_an_item_counts_once_where_it_stands_first():
    ranked = as_given(lists_of(("aab", [1, 1, 0])))
    assert ranked.gains.tolist() == [[1, 0, 0]]
    assert ranked.relevant.tolist() == [1]


def test_of_a_repeated_item_the_better_scored_place_is_kept():
    ranked = lists_of(("aba", [1, 0, 1])).ranked([np.array([1.0, 2.0, 3.0])])
    assert ranked.gains.tolist() == [[1, 0, 0]]


def test_missed_items_count_once_and_join_the_ideal():
    lists = lists_of(("ab", [1, 0]), outside=[["y", "y", "z"]])
    assert as_given(lists).relevant.tolist() == [3]


def test_items_outside_the_catalogue_have_codes_of_their_own():
    lists = build_lists([["new", "a", "other"]], [np.zeros(3)], [[]], {"a": 0})
    assert lists.items.tolist() == [[1, 0, 2]]


def test_no_request_at_all_is_fine():
    assert as_given(lists_of()).gains.shape == (0, 0)


@pytest.mark.parametrize("scores", [[1.0], [1.0, 2.0, 3.0], [1.0, np.nan], [1.0, np.inf]])
def test_every_candidate_needs_one_finite_score(scores):
    with pytest.raises(DataError, match="score"):
        lists_of(("ab", [1, 0])).ranked([np.array(scores)])


def test_every_candidate_needs_a_label():
    with pytest.raises(DataError, match="2 candidates but 1 labels"):
        lists_of(("ab", [1]))
