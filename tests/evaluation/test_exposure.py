"""Exposure, popularity bias and category calibration against hand-computed values and invariants."""

from __future__ import annotations

import doctest
import importlib
from math import log, log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.config import EvaluationConfig
from liverank.evaluation.bootstrap import Bootstrap
from liverank.evaluation.exposure import (
    NONE,
    OTHER,
    Audience,
    audience_of,
    find_exposure,
    popularity_lift,
    share_gaps,
)
from liverank.evaluation.lists import build_lists
from liverank.evaluation.metrics.exposure import gini, group_exposure, group_totals, item_exposure, lorenz
from liverank.evaluation.metrics.popularity import head_of, long_tail, popularity
from liverank.evaluation.metrics.taste import category_calibration
from liverank.ranking.catalogue import Catalogue
from liverank.ranking.data import LabelledRequest
from liverank.ranking.protocol import Candidates, Context, History, Request
from tests.evaluation.tables import as_given, judged_lists, lists_of

SECOND = 1 / log2(3)


def world(categories: str, events: list[int], *requests: tuple[str, str, list[float]], **settings) -> Audience:
    """Items a, b, c... with a letter each as category ('-' for none); requests are (history, candidates, labels)."""
    ids = tuple("abcdefgh"[: len(categories)])
    names = tuple("" if letter == "-" else letter for letter in categories)
    catalogue = Catalogue(ids, ids, names, ids, np.array(events, np.int64))
    labelled = [
        LabelledRequest(
            Request(History(list(history)), Candidates(list(items)), Context(0.0), f"u{number}"),
            f"r{number}",
            np.array(labels, np.float32),
            (),
            "impressions",
        )
        for number, (history, items, labels) in enumerate(requests)
    ]
    lists = build_lists(
        [list(items) for _, items, _ in requests],
        [one.labels for one in labelled],
        [()] * len(labelled),
        catalogue.index,
    )
    return audience_of(labelled, lists, catalogue, {"a": "x", "b": "y"}, EvaluationConfig(**settings))


# Hand-computed.


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 1, 1, 1], 0),
        ([0, 0, 0, 5], 3 / 4),
        ([1, 3], 1 / 4),
        ([3, 1, 2], 2 / 9),
        ([7], 0),
        ([0, 0], np.nan),
        ([], np.nan),
    ],
)
def test_gini_hand_computed(values, expected):
    assert gini(np.array(values, float)) == pytest.approx(expected, nan_ok=True)


def test_lorenz_hand_computed():
    assert lorenz(np.array([6.0, 1.0, 1.0, 2.0]), 5) == pytest.approx([0, 0.1, 0.2, 0.4, 1])
    assert lorenz(np.zeros(3), 3) == [0, 0, 0]


def test_item_exposure_hand_computed():
    ranked = as_given(lists_of(("abc", [0, 0, 0]), ("b", [0]), ("", [])))
    assert item_exposure(ranked, 2, 4) == pytest.approx([1, SECOND + 1, 0, 0])
    assert item_exposure(ranked, 10, 3) == pytest.approx([1, SECOND + 1, 1 / 2])


def test_group_exposure_and_totals_hand_computed():
    groups = np.array([0, 1, 0, 1])  # a, b, c, and all items past c
    ranked = as_given(lists_of(("abc", [0, 1, 1]), ("jb", [1, 0])))
    assert group_exposure(ranked, 2, groups, 2) == pytest.approx(np.array([[1, SECOND], [0, 1 + SECOND]]))
    candidates, relevant = group_totals(ranked, groups, 2)
    assert candidates.tolist() == [[2, 1], [0, 2]]
    assert relevant.tolist() == [[1, 1], [0, 1]]


def test_popularity_and_long_tail_hand_computed():
    events = np.array([10, 4, 1])
    ranked = as_given(lists_of(("abc", [0, 0, 0]), ("j", [0]), ("", [])))  # j is not in the catalogue
    assert popularity(ranked, 2, events) == pytest.approx([7, 0, np.nan], nan_ok=True)
    assert popularity(ranked, 9, events) == pytest.approx([5, 0, np.nan], nan_ok=True)
    head = head_of(events, 1 / 3)
    assert head.tolist() == [True, False, False]
    assert long_tail(ranked, 2, head) == pytest.approx([1 / 2, 1, np.nan], nan_ok=True)


@pytest.mark.parametrize(("share", "expected"), [(0.2, 0), (0.3, 1), (0.5, 2), (0.99, 3)])
def test_the_head_is_a_share_of_the_items(share, expected):
    assert head_of(np.array([5, 5, 5]), share)[:expected].all()
    assert head_of(np.array([5, 5, 5]), share).sum() == round(3 * share)


def test_category_calibration_hand_computed():
    categories = np.array([0, 1, -1, -1])  # a, b, c without, and items past c
    ranked = as_given(lists_of(("ab", [0, 0]), ("a", [0]), ("c", [0]), ("a", [0]), ("bj", [0, 0])))
    histories = [np.array(rows, np.int64) for rows in ([0, 1], [0, 1, 1, 2], [0], [2], [0])]
    half = 1 / 3 * log((1 / 3) / (0.99 + 0.01 / 3)) + 2 / 3 * log((2 / 3) / (0.01 * 2 / 3))
    expected = [0, half, np.nan, np.nan, log(100)]
    assert category_calibration(ranked, 5, categories, 2, histories) == pytest.approx(expected, nan_ok=True)


def test_popularity_lift_hand_computed():
    # Histories of 4 and 2 events an item, lists of 6 and 6: (6 + 6) / (4 + 2) - 1. Who has no history plays no part.
    audience = world("---", [6, 4, 2], ("b", "a", [1]), ("c", "a", [1]), ("", "b", [1]))
    shown = {"mine": audience.shown(as_given(audience.lists), 1), "other": audience.shown(as_given(audience.lists), 1)}
    lifts, gaps = popularity_lift(audience, shown, "mine", Bootstrap(["u", "v", "w"], 100))
    assert lifts["mine"].mean == pytest.approx(1.0)
    assert lifts["mine"].requests == 2
    assert lifts["mine"].low <= 1.0 <= lifts["mine"].high
    assert list(gaps) == ["other"]
    assert gaps["other"].mean == gaps["other"].low == gaps["other"].high == 0


def test_exposure_by_category_hand_computed():
    audience = world("ppq", [9, 1, 1], ("", "abc", [0, 0, 1]), ("", "ca", [1, 0]))
    shown = {"mine": audience.shown(as_given(audience.lists), 2)}
    found = find_exposure(audience, shown, "mine", Bootstrap(["u", "v"], 100))
    (category, provider) = found.groups
    assert [one.name for one in category.groups] == ["p", "q"]
    p, q = category.groups
    assert (p.items, q.items) == (2, 1)
    assert (p.candidates, q.candidates) == pytest.approx((3 / 5, 2 / 5))
    assert (p.relevance, q.relevance) == (0, 1)
    whole = 2 * (1 + SECOND)
    assert p.exposure["mine"] == pytest.approx((1 + 2 * SECOND) / whole)
    assert q.exposure["mine"] == pytest.approx(1 / whole)
    assert category.misplaced["mine"] == pytest.approx((1 + 2 * SECOND) / whole)
    assert p.gap.mean == pytest.approx((1 + 2 * SECOND) / whole)
    assert provider.attribute == "provider"
    assert [one.name for one in provider.groups] == [NONE, "x", "y"]
    assert found.items == 3
    assert (found.head_items, found.head_events) == (1, 9 / 11)


def test_rare_categories_are_told_together():
    audience = world("pqrs", [1] * 4, ("", "aab", [1, 0, 0]), ("", "abcd", [0, 0, 0, 0]), exposure_groups=2)
    (by, _) = audience.groupings
    assert by.names == ("p", "q", OTHER)
    assert by.of.tolist() == [0, 1, 2, 2, 2]


def test_without_categories_and_providers_nothing_is_told():
    audience = world("----", [1] * 4, ("a", "cd", [1, 0]))
    shown = {"mine": audience.shown(as_given(audience.lists), 2)}
    assert [by.attribute for by in audience.groupings] == ["provider"]
    assert np.isnan(shown["mine"].per_request["category_calibration"]).all()


# Invariants.


_VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=30).map(np.array)


@given(_VALUES, st.floats(0.01, 100), st.randoms(use_true_random=False))
def test_gini_is_between_0_and_1_and_knows_neither_scale_nor_order(values, factor, random):
    found = gini(values)
    if not values.sum():
        assert np.isnan(found)
        return
    assert 0 <= found <= 1 - 1 / len(values) + 1e-9
    assert gini(values * factor) == pytest.approx(found, abs=1e-9)
    assert gini(np.array(random.sample(list(values), len(values)))) == pytest.approx(found, abs=1e-9)


@given(_VALUES)
def test_gini_agrees_with_the_mean_difference_of_all_pairs(values):
    if values.sum() > 0:
        pairs = np.abs(values[:, None] - values[None, :]).mean() / (2 * values.mean())
        assert gini(values) == pytest.approx(pairs, abs=1e-9)


@given(_VALUES)
def test_gini_is_twice_the_area_below_the_diagonal_of_the_lorenz_curve(values):
    if values.sum() > 0:
        curve = np.array(lorenz(values, len(values) + 1))
        assert (np.diff(curve) >= -1e-12).all()
        assert 1 - (curve[1:] + curve[:-1]).sum() / len(values) == pytest.approx(gini(values), abs=1e-9)


@given(judged_lists(), st.integers(1, 15))
def test_groups_share_all_exposure_and_no_more(drawn, k):
    ranked = drawn[0].ranked(drawn[1])
    groups = np.array([0, 1, 2, 0, 1])
    by_item, by_group = item_exposure(ranked, k, 40), group_exposure(ranked, k, groups, 3)
    assert by_item.sum() == pytest.approx(by_group.sum())
    assert (by_item >= 0).all()
    whole = [sum(1 / log2(2 + place) for place in range(min(k, length))) for length in ranked.lengths]
    assert by_group.sum(axis=1) == pytest.approx(whole)


@given(judged_lists(), st.integers(1, 15), st.integers(0, 99))
def test_bias_metrics_agree_with_loops(drawn, k, seed):
    rng = np.random.default_rng(seed)
    events, categories = rng.integers(0, 50, 10), np.append(rng.integers(-1, 3, 10), -1)
    ranked = drawn[0].ranked(drawn[1])
    histories = [rng.integers(0, 10, rng.integers(0, 6)) for _ in ranked.items]
    head = head_of(events, 0.3)
    kl = category_calibration(ranked, k, categories, 3, histories)
    for at, row in enumerate(ranked.items):
        top = [int(item) for item in row[:k] if item >= 0]
        known = [events[item] if item < 10 else 0 for item in top]
        tail = [item >= 10 or not head[item] for item in top]
        assert popularity(ranked, k, events)[at] == pytest.approx(np.mean(known) if top else np.nan, nan_ok=True)
        assert long_tail(ranked, k, head)[at] == pytest.approx(np.mean(tail) if top else np.nan, nan_ok=True)
        assert kl[at] == pytest.approx(_kl(categories, histories[at], top), nan_ok=True, abs=1e-12)


def _kl(categories, history, top):
    had = [categories[item] for item in history if categories[item] >= 0]
    shown = [categories[min(item, 10)] for item in top if categories[min(item, 10)] >= 0]
    if not had or not shown:
        return np.nan
    total = 0.0
    for one in set(had):
        p, q = had.count(one) / len(had), shown.count(one) / len(shown)
        total += p * log(p / (0.99 * q + 0.01 * p))
    return total


@given(st.integers(0, 99))
def test_gaps_of_shares_sum_to_nothing_and_hold_their_point(seed):
    rng = np.random.default_rng(seed)
    exposed, relevant = rng.random((20, 3)), rng.integers(0, 2, (20, 3)).astype(float) + 0.01
    gaps = share_gaps(exposed, relevant, Bootstrap([f"u{row % 7}" for row in range(20)], 100))
    assert sum(gap.mean for gap in gaps) == pytest.approx(0, abs=1e-12)
    expected = exposed.sum(axis=0) / exposed.sum() - relevant.sum(axis=0) / relevant.sum()
    assert [gap.mean for gap in gaps] == pytest.approx(list(expected))
    assert all(gap.low <= gap.high for gap in gaps)


@pytest.mark.parametrize("name", ["exposure", "popularity"])
def test_examples_in_docstrings_run(name):
    results = doctest.testmod(importlib.import_module(f"liverank.evaluation.metrics.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
