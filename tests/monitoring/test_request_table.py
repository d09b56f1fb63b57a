"""The table both sides of monitoring share: plain columns, exact metrics, no user ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverank.evaluation.request_table import SCHEMA, RankedRequest, popularity_deciles, request_table
from tests.monitoring.traffic import START, catalogue

NOON = START.timestamp()
REQUEST = RankedRequest(
    request_id="r1",
    user_id="ann",
    timestamp=NOON,
    surface="home",
    item_ids=["item-5", "item-0", "stranger", "item-7"],
    scores=[3.0, 2.0, 1.0, 0.0],
    labels=[0, 1, 0, 1],
    history_times=[NOON - 7200, NOON - 600, NOON - 60],
)


def row(request: RankedRequest, k: int = 10) -> dict[str, object]:
    return request_table([request], catalogue(), k).to_pylist()[0]


def test_metrics_are_those_computed_by_hand():
    found = row(REQUEST)
    dcg, ideal = 1 / np.log2(3) + 1 / np.log2(5), 1 + 1 / np.log2(3)
    assert found["ndcg"] == pytest.approx(dcg / ideal)
    assert (found["mrr"], found["hit"], found["answered"]) == (0.5, 1.0, 1.0)


def test_relevant_items_outside_the_list_count_against_it():
    whole = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    found = row(replace(REQUEST, truths=3, source="retriever"))
    assert found["ndcg"] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / whole)
    missed = row(replace(REQUEST, labels=[0, 0, 0, 0], truths=2))
    assert (missed["ndcg"], missed["hit"], missed["answered"]) == (0.0, 0.0, 0.0)


def test_places_below_k_earn_nothing():
    found = row(replace(REQUEST, labels=[0, 0, 0, 1]), k=3)
    assert (found["ndcg"], found["mrr"], found["hit"], found["answered"]) == (0.0, 0.0, 0.0, 1.0)


def test_a_request_without_answer_is_not_judged():
    found = row(replace(REQUEST, labels=[0, 0, 0, 0]))
    assert (found["ndcg"], found["mrr"], found["hit"], found["clicked_item_id"]) == (None, None, None, None)
    assert found["answered"] == 0.0


def test_history_and_scores_become_numbers():
    found = row(REQUEST)
    assert (found["history_length"], found["idle_seconds"], found["session_seconds"]) == (3, 60.0, 600.0)
    assert (found["top_score"], found["score_spread"]) == (3.0, pytest.approx(np.std([3, 2, 1, 0])))
    assert (found["hour"], found["weekday"], found["n_candidates"]) == (9, 0, 4)


@pytest.mark.parametrize(
    ("times", "expected"),
    [([], (0, None, None)), ([NOON - 4000], (1, 4000.0, 0.0)), ([NOON - 10], (1, 10.0, 10.0))],
)
def test_sessions_end_after_half_an_hour(times, expected):
    found = row(replace(REQUEST, history_times=times))
    assert (found["history_length"], found["idle_seconds"], found["session_seconds"]) == expected


def test_items_appear_as_decile_and_category():
    found = row(REQUEST)
    assert found["known_share"] == 0.75
    assert (found["top_category"], found["clicked_item_id"], found["clicked_popularity_decile"]) == (
        "category-5",
        "item-0",
        1,
    )
    assert row(replace(REQUEST, item_ids=["stranger", "a", "b", "c"]))["top_popularity_decile"] == 0


def test_deciles_hold_a_tenth_of_the_events_each():
    ids = [f"i{n}" for n in range(1000)]
    found = popularity_deciles(ids, np.ones(1000))
    assert [list(found.values()).count(decile) for decile in range(1, 11)] == [100] * 10
    assert popularity_deciles(["a", "b"], np.array([5, 0])) == {"a": 1, "b": 10}
    assert popularity_deciles([], np.array([])) == {}


def test_users_are_told_apart_but_not_named():
    table = request_table(
        [REQUEST, replace(REQUEST, user_id="bob"), REQUEST, replace(REQUEST, user_id=""), replace(REQUEST, user_id="")],
        catalogue(),
        10,
    )
    assert table["user"].to_pylist() == [0, 1, 0, 2, 3]
    assert "ann" not in str(table.to_pylist())


def test_no_requests_and_empty_lists_keep_the_schema():
    assert request_table([], catalogue(), 10).schema == SCHEMA
    empty = row(replace(REQUEST, item_ids=[], scores=[], labels=[]))
    assert (empty["n_candidates"], empty["top_item_id"], empty["top_score"], empty["ndcg"]) == (0, None, None, None)
    assert row(replace(REQUEST, scores=None))["top_score"] is None
