"""Tables of item vectors: what they give back, how far rounding goes, and that they can grow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from liverank.ranking import item_table
from liverank.ranking.item_table import ItemTable

KINDS = [("float32", 0), ("float16", 0), ("int8", 0), ("float32", 3), ("int8", 3), ("float16", 6)]


def vectors(items=20, width=6, seed=0):
    return np.random.default_rng(seed).standard_normal((items, width)).astype(np.float32)


@pytest.mark.parametrize(("precision", "rank"), KINDS)
def test_scores_are_products_with_the_rows_it_gives(precision, rank):
    table, query = ItemTable.of(vectors(), precision, rank), vectors(1, seed=3)[0]
    rows = np.asarray([3, 0, 19, 3])
    read = table.rows(rows)
    assert read.dtype == np.float32
    np.testing.assert_allclose(table.scores(rows, query), read @ query, rtol=1e-4, atol=1e-5)
    assert table.rows(rows[None]).shape == (1, 4, 6)
    assert (len(table), table.width) == (20, 6)


@given(arrays.arrays(np.float32, (4, 5), elements=st.floats(-100, 100, width=32)))
def test_int8_is_off_by_half_a_step_of_the_row_at_most(values):
    read = ItemTable.of(values, "int8").rows(np.arange(4))
    step = np.abs(values).max(axis=1, keepdims=True) / 127
    assert (np.abs(read - values) <= 0.5001 * step + 1e-6).all()


def test_float16_is_off_by_its_last_bit_at_most():
    values = vectors()
    np.testing.assert_allclose(ItemTable.of(values, "float16").rows(np.arange(20)), values, rtol=2**-11)


def test_a_table_of_low_rank_is_the_best_of_its_rank():
    values, rank = vectors(30, 8), 3
    read = ItemTable.of(values, rank=rank).rows(np.arange(30))
    left, sizes, right = np.linalg.svd(values, full_matrices=False)
    best = (left[:, :rank] * sizes[:rank]) @ right[:rank]
    np.testing.assert_allclose(read, best, atol=1e-4)


def test_vectors_that_lie_in_a_subspace_lose_nothing():
    values = vectors(20, 2) @ vectors(2, 8, seed=5)
    np.testing.assert_allclose(ItemTable.of(values, rank=2).rows(np.arange(20)), values, atol=1e-4)


@pytest.mark.parametrize(("precision", "bytes_a_row"), [("float32", 24), ("float16", 12), ("int8", 10)])
def test_memory(precision, bytes_a_row):
    assert ItemTable.of(vectors(), precision).nbytes == 20 * bytes_a_row


@pytest.mark.parametrize(("precision", "rank"), KINDS)
def test_grown_and_rewritten_rows(precision, rank):
    values, new = vectors(), vectors(3, seed=9)
    table = ItemTable.of(values, precision, rank)
    grown = table.with_rows(23, np.asarray([4, 20, 22]), new)
    untouched = [at for at in range(20) if at != 4]
    np.testing.assert_array_equal(grown.rows(np.asarray(untouched)), table.rows(np.asarray(untouched)))
    assert not grown.rows(np.asarray([21])).any()
    alike = ItemTable.of(values, precision, rank).with_rows(20, np.asarray([4]), new[:1])
    np.testing.assert_array_equal(grown.rows(np.asarray([4])), alike.rows(np.asarray([4])))
    np.testing.assert_array_equal(table.rows(np.arange(20)), ItemTable.of(values, precision, rank).rows(np.arange(20)))


@pytest.mark.parametrize(("precision", "rank"), KINDS)
def test_saved_and_read_it_is_the_same(precision, rank):
    table = ItemTable.of(vectors(), precision, rank)
    again = ItemTable.from_arrays(table.arrays())
    np.testing.assert_array_equal(again.rows(np.arange(20)), table.rows(np.arange(20)))


@pytest.mark.parametrize(("precision", "rank"), KINDS)
def test_pieces_make_no_difference(monkeypatch, precision, rank):
    whole = ItemTable.of(vectors(), precision, rank).rows(np.arange(20))
    monkeypatch.setattr(item_table, "_ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(ItemTable.of(vectors(), precision, rank).rows(np.arange(20)), whole, atol=0.04)


def test_a_table_without_items():
    for precision, rank in KINDS:
        table = ItemTable.of(np.zeros((0, 6), np.float32), precision, rank)
        assert len(table) == 0
        assert len(table.with_rows(2, np.asarray([1]), vectors(1))) == 2
