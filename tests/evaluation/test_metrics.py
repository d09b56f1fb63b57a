"""The metrics against values computed by hand, against invariants and against second implementations."""

from __future__ import annotations

import doctest
import importlib
from math import log2

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from liverank.evaluation import metrics
from liverank.evaluation.metrics import (
    auc,
    average_precision,
    coverage,
    diversity,
    hit_rate,
    mrr,
    ndcg,
    novelty,
    precision,
    recall,
)
from tests.evaluation.tables import as_given, judged_lists, lists_of

RANKING = {
    "ndcg": ndcg,
    "hit": hit_rate,
    "recall": recall,
    "precision": precision,
    "mrr": mrr,
    "map": average_precision,
}
NOTHING = dict.fromkeys(RANKING, np.nan)

# (items, labels, missed items, k, expected); the lists are in ranked order.
TABLE = {
    "perfect": ("abcd", [1, 1, 0, 0], "", 2, {"ndcg": 1, "hit": 1, "recall": 1, "precision": 1, "mrr": 1, "map": 1}),
    "worst": ("abcd", [0, 0, 0, 1], "", 3, {"ndcg": 0, "hit": 0, "recall": 0, "precision": 0, "mrr": 0, "map": 0}),
    "last of k": (
        "abc",
        [0, 0, 1],
        "",
        3,
        {"ndcg": 1 / 2, "hit": 1, "recall": 1, "precision": 1 / 3, "mrr": 1 / 3, "map": 1 / 3},
    ),
    "two of three, one low": (
        "abcde",
        [1, 0, 1, 0, 1],
        "",
        3,
        {
            "ndcg": (1 + 1 / 2) / (1 + 1 / log2(3) + 1 / 2),
            "hit": 1,
            "recall": 2 / 3,
            "precision": 2 / 3,
            "mrr": 1,
            "map": (1 + 2 / 3) / 3,
        },
    ),
    "more relevant than k": (
        "abc",
        [1, 1, 1],
        "",
        2,
        {"ndcg": 1, "hit": 1, "recall": 2 / 3, "precision": 1, "mrr": 1, "map": 1},
    ),
    "fewer than k": (
        "ab",
        [0, 1],
        "",
        10,
        {"ndcg": 1 / log2(3), "hit": 1, "recall": 1, "precision": 0.1, "mrr": 0.5, "map": 0.5},
    ),
    "one candidate": ("a", [1], "", 5, {"ndcg": 1, "hit": 1, "recall": 1, "precision": 0.2, "mrr": 1, "map": 1}),
    "one missed": (
        "ab",
        [1, 0],
        "z",
        2,
        {"ndcg": 1 / (1 + 1 / log2(3)), "hit": 1, "recall": 0.5, "precision": 0.5, "mrr": 1, "map": 0.5},
    ),
    "all missed": ("ab", [0, 0], "z", 2, {"ndcg": 0, "hit": 0, "recall": 0, "precision": 0, "mrr": 0, "map": 0}),
    "empty list, one missed": ("", [], "z", 2, {"ndcg": 0, "hit": 0, "recall": 0, "precision": 0, "mrr": 0, "map": 0}),
    "nothing relevant": ("abc", [0, 0, 0], "", 3, NOTHING),
    "empty list": ("", [], "", 3, NOTHING),
    "duplicate": ("aab", [1, 1, 0], "", 3, {"ndcg": 1, "hit": 1, "recall": 1, "precision": 1 / 3, "mrr": 1, "map": 1}),
    "duplicate before": (
        "aab",
        [0, 0, 1],
        "",
        3,
        {"ndcg": 0.5, "hit": 1, "recall": 1, "precision": 1 / 3, "mrr": 1 / 3, "map": 1 / 3},
    ),
}


@pytest.mark.parametrize("name", RANKING)
@pytest.mark.parametrize("case", TABLE)
def test_hand_computed(case, name):
    items, labels, missed, k, expected = TABLE[case]
    value = RANKING[name](as_given(lists_of((items, labels), outside=[missed])), k)
    assert value == pytest.approx([expected[name]], nan_ok=True)


@pytest.mark.parametrize("name", RANKING)
def test_ties_are_judged_in_the_order_they_are_served_in(name):
    lists = lists_of(("abc", [1, 0, 0]), ("abc", [0, 0, 1]))
    tied = lists.ranked([np.zeros(3), np.zeros(3)])
    assert RANKING[name](tied, 2).tolist() == RANKING[name](as_given(lists), 2).tolist()


def test_graded_gains_weigh_in_ndcg():
    value = ndcg(as_given(lists_of(("ab", [1, 3]))), 2)
    assert value == pytest.approx((1 + 3 / log2(3)) / (3 + 1 / log2(3)))


@pytest.mark.parametrize(
    ("items", "labels", "expected"),
    [
        ("abcd", [1, 1, 0, 0], 1.0),
        ("abcd", [0, 0, 1, 1], 0.0),
        ("abcd", [1, 0, 1, 0], 0.75),
        ("abc", [0, 1, 0], 0.5),
        ("abc", [1, 1, 1], np.nan),
        ("abc", [0, 0, 0], np.nan),
        ("", [], np.nan),
    ],
)
def test_auc_hand_computed(items, labels, expected):
    assert auc(as_given(lists_of((items, labels)))) == pytest.approx([expected], nan_ok=True)


def test_coverage_hand_computed():
    ranked = as_given(lists_of(("abz", [0, 0, 0]), ("bc", [0, 0]), ("", [])))
    assert coverage(ranked, 1, 10) == pytest.approx(0.2)  # a, b
    assert coverage(ranked, 10, 10) == pytest.approx(0.3)  # a, b, c; z is not in the catalogue
    assert coverage(ranked, 10, 0) == 0.0


def test_novelty_hand_computed():
    events = np.array([6, 0])  # p(a) = 7/8, p(b) = 1/8; unknown items as b
    ranked = as_given(lists_of(("ab", [0, 0]), ("b", [0]), ("z", [0]), ("", [])))
    expected = [(-log2(7 / 8) + 3) / 2, 3, 3, np.nan]
    assert novelty(ranked, 2, events) == pytest.approx(expected, nan_ok=True)
    assert novelty(ranked, 1, events)[0] == pytest.approx(-log2(7 / 8))


def test_diversity_hand_computed():
    embeddings = np.array([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]])
    ranked = as_given(
        lists_of(("ab", [0, 0]), ("ac", [0, 0]), ("aa", [0, 0]), ("abc", [0, 0, 0]), ("ad", [0, 0]), ("az", [0, 0]))
    )
    expected = [1.0, 2.0, 0.0, (1 + 2 + 1) / 3, np.nan, np.nan]
    assert diversity(ranked, 5, embeddings) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(diversity(ranked, 1, embeddings)).all()


# Invariants.


@given(judged_lists(graded=True), st.integers(1, 15))
def test_bounds_and_where_defined(drawn, k):
    lists, scores = drawn
    ranked = lists.ranked(scores)
    for metric in RANKING.values():
        values = metric(ranked, k)
        assert (np.isnan(values) == (ranked.relevant == 0)).all()
        assert ((values >= 0) & (values <= 1 + 1e-12) | np.isnan(values)).all()
    assert 0 <= coverage(ranked, k, 10) <= 1
    separated = auc(ranked)
    assert ((separated >= 0) & (separated <= 1) | np.isnan(separated)).all()


@given(judged_lists(), st.integers(1, 15))
def test_the_ideal_order_is_best_and_its_reverse_worst(drawn, k):
    lists, scores = drawn
    best = lists.ranked([row[: len(s)] for row, s in zip(lists.gains, scores, strict=True)])
    worst = lists.ranked([-row[: len(s)] for row, s in zip(lists.gains, scores, strict=True)])
    ranked = lists.ranked(scores)
    for metric in RANKING.values():
        high, middle, low = (np.nan_to_num(metric(order, k)) for order in (best, ranked, worst))
        assert (high >= middle - 1e-12).all()
        assert (middle >= low - 1e-12).all()


@given(judged_lists(ties=False), st.integers(1, 15), st.randoms(use_true_random=False))
def test_without_ties_the_incoming_order_does_not_matter(drawn, k, random):
    lists, scores = drawn
    row = np.array(random.sample(range(len(scores[0])), len(scores[0])), dtype=int)
    assume(len(row) > 1)
    items, gains = lists.items.copy(), lists.gains.copy()
    items[0, : len(row)], gains[0, : len(row)] = items[0, row], gains[0, row]
    moved = type(lists)(gains, items, lists.ideal).ranked([scores[0][row], *scores[1:]])
    for metric in RANKING.values():
        assert metric(moved, k) == pytest.approx(metric(lists.ranked(scores), k), nan_ok=True)


@given(judged_lists(), st.integers(1, 14))
def test_a_longer_cut_off_never_finds_less(drawn, k):
    ranked = drawn[0].ranked(drawn[1])
    for metric in (hit_rate, recall, mrr):
        assert (np.nan_to_num(metric(ranked, k + 1)) >= np.nan_to_num(metric(ranked, k))).all()
    assert coverage(ranked, k + 1, 10) >= coverage(ranked, k, 10)


@given(judged_lists(), st.integers(1, 15))
def test_moving_a_relevant_item_up_never_hurts(drawn, k):
    lists, scores = drawn
    lifted = [s + (row[: len(s)] > 0) * 0.5 for s, row in zip(scores, lists.gains, strict=True)]
    before, after = lists.ranked(scores), lists.ranked(lifted)
    for metric in RANKING.values():
        assert (np.nan_to_num(metric(after, k)) >= np.nan_to_num(metric(before, k)) - 1e-12).all()


@given(judged_lists(), st.integers(1, 15))
def test_requests_do_not_influence_each_other(drawn, k):
    lists, scores = drawn
    alone = type(lists)(lists.gains[:1], lists.items[:1], lists.ideal[:1]).ranked(scores[:1])
    for metric in RANKING.values():
        assert metric(alone, k) == pytest.approx(metric(lists.ranked(scores), k)[:1], nan_ok=True)


# Second implementations, where the definitions coincide: distinct scores, nothing missed.


def _single(labels: list[float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array(labels), np.random.default_rng(seed).permutation(len(labels)).astype(float)


_LABELS = st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=10).filter(lambda row: sum(row) > 0)


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 5.0]), min_size=2, max_size=10).filter(any),
    st.integers(0, 99),
    st.integers(1, 12),
)
def test_ndcg_agrees_with_scikit_learn(labels, seed, k):
    gains, scores = _single(labels, seed)
    ranked = lists_of(("abcdefghij"[: len(labels)], gains)).ranked([scores])
    assert ndcg(ranked, k)[0] == pytest.approx(ndcg_score([gains], [scores], k=k))


@given(_LABELS, st.integers(0, 99))
def test_average_precision_agrees_with_scikit_learn(labels, seed):
    gains, scores = _single(labels, seed)
    ranked = lists_of(("abcdefghij"[: len(labels)], gains)).ranked([scores])
    assert average_precision(ranked, len(labels))[0] == pytest.approx(average_precision_score(gains, scores))


@given(_LABELS.filter(lambda row: 0 in row), st.integers(0, 99))
def test_auc_agrees_with_scikit_learn(labels, seed):
    gains, scores = _single(labels, seed)
    ranked = lists_of(("abcdefghij"[: len(labels)], gains)).ranked([scores])
    assert auc(ranked)[0] == pytest.approx(roc_auc_score(gains, scores))


@given(judged_lists(), st.integers(1, 15))
def test_agreement_with_loops_over_sets(drawn, k):
    lists, scores = drawn
    ranked = lists.ranked(scores)
    slow = [_by_hand(row, gains, len(given), total, k) for row, gains, given, total in _rows(ranked, scores)]
    for place, metric in enumerate((hit_rate, recall, precision, mrr, average_precision, ndcg)):
        assert metric(ranked, k) == pytest.approx([row[place] for row in slow], nan_ok=True)


def _rows(ranked, scores):
    return zip(ranked.items, ranked.gains, scores, ranked.relevant, strict=True)


def _by_hand(items, gains, length, total, k):
    if total == 0:
        return [np.nan] * 6
    right = {item for item, gain in zip(items, gains, strict=True) if gain > 0}
    top = [int(item) for item in items[: min(k, length)]]
    found = [rank for rank, item in enumerate(top, 1) if item in right]
    precise = sum(len([other for other in found if other <= rank]) / rank for rank in found)
    ideal = sum(1 / log2(rank + 1) for rank in range(1, min(k, total) + 1))
    return [
        float(bool(found)),
        len(found) / total,
        len(found) / k,
        1 / found[0] if found else 0.0,
        precise / min(k, total),
        sum(1 / log2(rank + 1) for rank in found) / ideal,
    ]


@given(judged_lists(), st.integers(1, 15), st.integers(0, 99))
def test_diversity_and_novelty_agree_with_loops_over_pairs(drawn, k, seed):
    rng = np.random.default_rng(seed)
    embeddings, events = rng.normal(size=(10, 3)), rng.integers(0, 50, 10)
    ranked = drawn[0].ranked(drawn[1])
    for row, far, new in zip(ranked.items, diversity(ranked, k, embeddings), novelty(ranked, k, events), strict=True):
        top = [item for item in row[:k] if item >= 0]
        known = [embeddings[item] / np.linalg.norm(embeddings[item]) for item in top if item < 10]
        apart = [1 - one @ two for place, one in enumerate(known) for two in known[:place]]
        bits = [-log2(((events[item] if item < 10 else 0) + 1) / (events.sum() + 10)) for item in top]
        assert far == pytest.approx(np.mean(apart) if apart else np.nan, nan_ok=True)
        assert new == pytest.approx(np.mean(bits) if bits else np.nan, nan_ok=True)


@pytest.mark.parametrize("name", ["evaluation.metrics.gain", "evaluation.report.svg", "evaluation.request_table"])
def test_examples_in_docstrings_run(name):
    results = doctest.testmod(importlib.import_module(f"liverank.{name}"))
    assert results.attempted > 0
    assert results.failed == 0


def test_every_metric_is_proved_here():
    assert set(metrics.__all__) <= set(globals())
