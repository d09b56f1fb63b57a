"""What live requests become: the numbers that training computes with torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from liverank.ranking.data import encode
from liverank.ranking.interest_inputs import again_buckets, gap_buckets, inputs_of, times_before
from liverank.ranking.interest_loss import hour_of, weekday_of
from liverank.ranking.interest_model import again_bucket, gap_bucket
from liverank.ranking.protocol import Candidates, Context, History, Request
from tests.ranking.test_count import catalogue_of

TYPES = {"click": 0, "buy": 1}


@given(st.lists(st.integers(-(10**7), 2 * 10**12), min_size=1))
def test_gap_buckets_are_those_of_training(microseconds):
    seconds = np.asarray(microseconds) / 1000
    np.testing.assert_array_equal(gap_buckets(seconds), gap_bucket(torch.from_numpy(seconds)).numpy())


def test_gaps_at_the_edges_of_buckets():
    edges = 2.0 ** np.arange(34) - 1
    np.testing.assert_array_equal(gap_buckets(edges), np.minimum(np.arange(34), 31))


@given(st.lists(st.integers(0, 2000), min_size=1))
def test_buckets_of_repeats_are_those_of_training(times):
    counted = torch.tensor(times, dtype=torch.float32)
    np.testing.assert_array_equal(again_buckets(np.asarray(times)), again_bucket(counted).numpy())


@given(st.lists(st.integers(0, 4)))
def test_times_before_counts_earlier_equals(rows):
    expected = [rows[:at].count(row) for at, row in enumerate(rows)]
    assert times_before(np.asarray(rows, np.int64)).tolist() == expected


@given(st.floats(0, 4e9))
def test_hours_and_weekdays_are_those_of_training(now):
    read = inputs_of([request([0.0], now)], TYPES, 5)
    at = torch.tensor([now], dtype=torch.float64)
    assert read.asked.hours.tolist() == hour_of(at).tolist()
    assert read.asked.weekdays.tolist() == weekday_of(at).tolist()


def request(times, now=10.0, items=None, types=None):
    items = items or ["i0"] * len(times)
    history = History(items, types or ["click"] * len(times), times)
    return encode(catalogue_of("a", "b", "c"), Request(history, Candidates(["i0"]), Context(now)))


def test_two_requests_by_hand():
    one = request([0.0, 0.0, 7.0], 10.0, ["i0", "i1", "i0"], ["click", "buy", "shrug"])
    read = inputs_of([one, request([5.0], 12.0, ["i2"])], TYPES, 5)
    assert read.rows.tolist() == [0, 1, 0, 2]
    assert read.types.tolist() == [0, 1, 2, 0]
    assert read.again.tolist() == [0, 0, 1, 0]
    assert read.places.tolist() == [0, 0, 1, 2]
    assert read.gaps.tolist() == [[0, 3], [0, 0]]
    assert read.seconds.tolist() == [[0, 7], [0, 0]]
    assert read.latest.tolist() == [1, 0]
    assert read.asked.since.tolist() == [2, 3]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_only_the_latest_steps_are_read(length):
    read = inputs_of([request([0.0, 1.0, 1.0, 3.0], items=["i0", "i1", "i2", "i0"])], TYPES, length)
    assert read.rows.tolist() == [[0], [1, 2, 0], [0, 1, 2, 0]][length - 1]
    assert read.gaps[0].tolist() == [[1], [1, 1], [0, 1, 1]][length - 1]
    assert read.latest.tolist() == [length - 1]
    # The repeat is seen although the first time lies outside the window.
    assert read.again[-1] == 1
