"""New items at a price: how far they come up, and where nothing is paid."""

from __future__ import annotations

import numpy as np
import pytest

from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_signals import LEAST_LISTS, NEW, SEGMENTS
from liverank.ranking.cold_price import _Best, _List, open_to_new
from liverank.ranking.count import segment
from liverank.ranking.data import encode, load_requests
from liverank.ranking.listwise import mean_ndcg


def lists_with_new_items(blend, cold: int, warm: int = 200):
    """Lists of 40 with ten new items; popularity tells the wanted item, but new ones stand three lower."""
    rng = np.random.default_rng(2)
    names = blend.signal_names
    signals, labels = [], []
    for at in range(cold + warm):
        row = np.zeros((40, len(names)), np.float32)
        row[:10, names.index(NEW)] = 1
        row[:, names.index("popularity")] = rng.normal(size=40)
        wanted = rng.integers(10) if at < cold else 10 + rng.integers(30)
        row[wanted, names.index("popularity")] += 2
        row[:10, names.index("popularity")] -= 3
        signals.append(row)
        labels.append(np.eye(40, dtype=np.float32)[wanted])
    return signals, labels


def popular(bundle, features, count: int, of: int = 1):
    """A blend of popularity alone, and so many requests of a segment."""
    blend = BlendRanker(bundle.rankers, np.zeros((2, 0), np.float32))
    blend.weights = np.zeros((2, len(blend.weight_names)), np.float32)
    blend.weights[:, blend.signal_names.index("popularity")] = 1
    requests = [encode(bundle.catalogue, one.request) for one in load_requests(features, "validation")]
    return blend, ([one for one in requests if segment(one) == of] * count)[:count]


@pytest.mark.parametrize("price", [0.02, 0.2])
def test_new_items_come_up_as_far_as_their_price_reaches(bundle, features, price):
    blend, requests = popular(bundle, features, 260)
    signals, labels = lists_with_new_items(blend, 60)
    before, notes = blend.combine(requests, signals), []
    told = open_to_new(blend, requests, signals, labels, price, notes)
    after = blend.combine(requests, signals)
    paid = mean_ndcg(after[60:], labels[60:]) / mean_ndcg(before[60:], labels[60:])
    assert 1 - price <= paid < 1
    assert mean_ndcg(after[:60], labels[:60]) > 2 * mean_ndcg(before[:60], labels[:60])
    assert told == pytest.approx(mean_ndcg(after, labels))
    moved = blend.weights - popular(bundle, features, 1)[0].weights
    assert np.argwhere(moved).tolist() == [[SEGMENTS.index("returning"), blend.signal_names.index(NEW)]]
    assert "on 60 validation lists" in notes[0]


def test_without_lists_that_want_new_items_nothing_is_paid(bundle, features):
    blend, requests = popular(bundle, features, 200 + LEAST_LISTS - 1)
    signals, labels = lists_with_new_items(blend, LEAST_LISTS - 1)
    before, notes = blend.weights.copy(), []
    told = open_to_new(blend, requests, signals, labels, 0.1, notes)
    np.testing.assert_array_equal(blend.weights, before)
    assert told == pytest.approx(mean_ndcg(blend.combine(requests, signals), labels))
    assert not notes


def test_each_segment_pays_for_itself(bundle, features):
    """Newcomers with lists enough are raised, users with a history who have too few of them are not."""
    blend, newcomers = popular(bundle, features, 260, of=0)
    _, returning = popular(bundle, features, LEAST_LISTS - 1, of=1)
    signals, labels = lists_with_new_items(blend, 60)
    few, fewer = lists_with_new_items(blend, LEAST_LISTS - 1, 0)
    before, notes = blend.weights.copy(), []
    open_to_new(blend, [*newcomers, *returning], [*signals, *few], [*labels, *fewer], 0.1, notes)
    assert np.argwhere(blend.weights - before).tolist() == [[0, blend.signal_names.index(NEW)]]
    assert [note.split(":")[0] for note in notes] == ["newcomers"]


@pytest.mark.parametrize(("known", "paid"), [(0.0, False), (0.3, False), (2.0, True)])
def test_new_items_that_cannot_be_told_apart_are_not_paid_for(bundle, features, known, paid):
    """How much higher the wanted new item stands than the other new ones, in deviations of a list's scores."""
    blend, requests = popular(bundle, features, 260)
    signals, labels = lists_with_new_items(blend, LEAST_LISTS)
    column = blend.signal_names.index("popularity")
    for row, label in zip(signals[:LEAST_LISTS], labels, strict=False):
        row[:, column] += np.float32(known - 2) * label
    before, notes = blend.weights.copy(), []
    open_to_new(blend, requests[: len(signals)], signals, labels, 0.1, notes)
    assert (blend.weights != before).any() == paid
    assert len(notes) == paid


@pytest.mark.parametrize("more", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("fresh", [False, True])
def test_what_a_kind_of_items_is_expected_to_get_is_the_sum_over_all_of_them(more, fresh):
    rng = np.random.default_rng(3)
    lists = [
        _List(rng.normal(size=size).astype(np.float32), np.arange(size) % 3 == 0, np.arange(size) == 1)
        for size in (4, 30, 60)
    ]
    gained = wanted = 0.0
    for one in lists:
        own = one.fresh == fresh
        chance = np.exp(one.scores) / np.exp(one.scores).sum() * own
        ranks = np.argsort(np.argsort(-(one.scores + np.float32(more) * ~own)))
        gained += float((chance * np.where(ranks < 10, 1 / np.log2(ranks + 2), 0)).sum())
        wanted += float(chance.sum())
    found = _Best.of(lists, fresh).expected(_Best.of(lists, not fresh), more)
    assert found == pytest.approx(gained / wanted, rel=1e-5)


def test_new_items_that_are_found_as_it_is_are_not_paid_for(bundle, features):
    blend, requests = popular(bundle, features, 260)
    signals, labels = lists_with_new_items(blend, 60)
    for row in signals:
        row[:10, blend.signal_names.index("popularity")] += 6
    before, notes = blend.weights.copy(), []
    open_to_new(blend, requests, signals, labels, 0.1, notes)
    np.testing.assert_array_equal(blend.weights, before)
    assert not notes
