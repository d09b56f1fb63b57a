"""Pairs of texts: only from the events given, drawn as often as is said, and none of a text that was held out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from liverank.ranking.text_pairs import Judge, Pairs, distinct_texts, held_out_texts, neighbours
from tests.ranking.test_count import events_of


def test_items_of_one_text_are_one_and_empty_ones_none():
    texts, rows = distinct_texts(["lamp", " ", "socks", "lamp", ""])
    assert texts == ["lamp", "socks"]
    assert rows.tolist() == [0, -1, 1, 0, -1]


def test_pairs_come_from_near_events_of_one_user_and_from_nothing_else():
    # Items 0 and 4 have one text; user 1 took item 3 against their will; item 5 has no event; user 2 has no partner.
    rows = np.asarray([0, 1, 2, 3, 0, 4])
    events = events_of(
        [(0, 0, 1.0), (0, 1, 2.0), (0, 2, 3.0), (1, 4, 1.0), (1, 3, 2.0), (1, 2, 3.0), (2, 1, 1.0)],
        [1, 1, 1, 1, -1, 1, 1],
    )
    found = neighbours(events, rows, 5, window=1).toarray()
    assert {tuple(pair) for pair in np.argwhere(found)} == {(0, 1), (1, 0), (1, 2), (2, 1)}
    wider = neighbours(events, rows, 5, window=2).toarray()
    assert {tuple(pair) for pair in np.argwhere(wider)} == {(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)}
    np.testing.assert_allclose(wider, wider.T)
    assert not wider.diagonal().any()


def test_what_comes_later_decides_nothing():
    rows = np.arange(4)
    early = [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 1.0)]
    late = [(1, 2, 9.0), (2, 3, 9.0)]
    everything = events_of(sorted(early + late, key=lambda row: (row[0], row[2])))
    before = neighbours(everything.where(everything.timestamp < 5 * 86400), rows, 4, window=5).toarray()
    np.testing.assert_array_equal(before, neighbours(events_of(early), rows, 4, window=5).toarray())
    assert not before[2:].any()
    assert neighbours(everything, rows, 4, window=5).toarray()[0, 2] > 0


def test_items_without_text_stand_in_no_pair():
    events = events_of([(0, 0, 1.0), (0, 1, 2.0), (0, 2, 3.0)])
    assert neighbours(events, np.asarray([0, -1, 1]), 2, window=1).toarray()[0, 1] > 0


def test_a_hot_item_does_not_drown_the_rest():
    rows = [(user, 0, 1.0) for user in range(100)]
    pairs = [(user, 1 + user % 2, 2.0) for user in range(100)]
    rare = [(100, 3, 1.0), (100, 4, 2.0)]
    found = neighbours(events_of(sorted(rows + pairs + rare)), np.arange(5), 5, window=1)
    # Fifty to one in the events, a tenth of that in the draw.
    assert 1 < found[0, 1] / found[3, 4] < 10


@pytest.fixture
def ring():
    """Twenty texts in a circle, the pairs of the first half nine times as strong."""
    at = np.arange(20)
    weights = np.where(at < 10, 9.0, 1.0)
    one = csr_matrix((weights, (at, (at + 1) % 20)), shape=(20, 20))
    return (one + one.T).tocsr()


def test_no_pair_has_a_text_that_was_held_out(ring):
    held = held_out_texts(ring, 0.3, seed=1)
    assert len(held.rows) == 6
    assert not np.intersect1d(held.picking, held.judging).size
    pairs = Pairs(ring, held.rows)
    left, right = pairs.draw(2000, np.random.default_rng(0))
    assert not np.isin(np.concatenate([left, right]), held.rows).any()
    assert (ring[left, right] > 0).all()
    assert held_out_texts(ring, 0.3, seed=1).rows.tolist() == held.rows.tolist()
    assert held_out_texts(ring, 0.3, seed=2).rows.tolist() != held.rows.tolist()


def test_texts_are_in_batches_as_often_as_the_correction_says(ring):
    pairs = Pairs(ring, np.zeros(0, np.int64))
    rng, seen = np.random.default_rng(0), np.zeros(20)
    for _ in range(4000):
        seen[np.unique(np.concatenate(pairs.draw(4, rng)))] += 1
    np.testing.assert_allclose(np.exp(pairs.log_inclusion(np.arange(20), 4)), seen / 4000, atol=0.03)
    assert np.ptp(seen) > 500


def test_recall_by_hand():
    # Text 0 belongs with 1 and 2; only 1 is among the two nearest. Text 3 belongs with 4, which is the nearest.
    pairs = [(0, 1), (0, 2), (3, 4)]
    one = csr_matrix((np.ones(3), tuple(zip(*pairs, strict=True))), shape=(6, 6))
    judge = Judge((one + one.T).tocsr(), np.asarray([0, 3]), seed=1, k=2)
    angles = np.radians([0, 10, 90, 150, 151, 20])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    assert judge.recalls(vectors[judge.ranked]).tolist() == [0.5, 1.0]


def test_of_many_texts_a_part_is_ranked(ring, monkeypatch):
    monkeypatch.setattr("liverank.ranking.text_pairs.MOST_RANKED", 8)
    judge = Judge(ring, np.asarray([3, 7]), seed=1)
    assert len(judge.ranked) == 8
    assert np.isin([3, 7], judge.ranked).all()
