"""What a catalogue that grows by an item costs and leaves alone, and what is mapped from a bundle's files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from liverank.events import Item
from liverank.ranking import arrays
from liverank.ranking.catalogue import Catalogue, Floats
from liverank.ranking.item_table import ItemTable
from liverank.ranking.room import Room


def table(rows: int) -> npt.NDArray[np.float32]:
    return np.arange(1, 1 + 3 * rows, dtype=np.float32).reshape(rows, 3)


def catalogue(items: int = 4) -> Catalogue:
    names = tuple(f"i{at}" for at in range(items))
    return Catalogue(names, names, names, names, np.ones(items, np.int64), table(items))


def grown(known: Catalogue, *items: str, title: str = "new") -> tuple[Catalogue, Floats]:
    more, changed = known.with_items([Item(item_id=item, title=title) for item in items])
    more.embedded[changed] = 7
    return more, more.embedded


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=8), st.integers(0, 30))
def test_growth_from_the_latest_or_an_older_array_is_that_of_a_copy(steps: list[tuple[int, bool]], rows: int) -> None:
    room, given_out = Room(), [table(rows)]
    copies = [table(rows)]
    for more, from_the_latest in steps:
        at = -1 if from_the_latest else len(given_out) // 2
        given_out.append(room.grown(given_out[at], more))
        copies.append(np.concatenate([copies[at], np.zeros((more, 3), np.float32)]))
        given_out[-1][len(copies[at]) :] = len(copies)
        copies[-1][len(copies[at]) :] = len(copies)
    for array, copy in zip(given_out, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_new_item_does_not_copy_the_others() -> None:
    first, _ = grown(catalogue(), "a")
    second, embeddings = grown(first, "b", "c")
    assert np.shares_memory(embeddings, first.embedded)
    assert second.index == {item: row for row, item in enumerate(second.item_ids)}
    np.testing.assert_array_equal(embeddings[:4], table(4))
    assert (embeddings[4:] == 7).all()


def test_a_known_item_with_another_text_leaves_older_catalogues_alone() -> None:
    first, before = grown(catalogue(), "a")
    _, after = grown(first, "i2", "b", title="another")
    np.testing.assert_array_equal(before[:4], table(4))
    assert (after[2] == 7).all()
    np.testing.assert_array_equal(after[[0, 1, 3]], table(4)[[0, 1, 3]])


def test_two_catalogues_grown_from_one_do_not_write_over_each_other() -> None:
    first, _ = grown(catalogue(), "a")
    _, one = grown(first, "b")
    other, _ = first.with_items([Item(item_id="c", title="c")])
    other.embedded[5] = 9
    assert (one[5] == 7).all()
    assert (other.embedded[5] == 9).all()


def test_an_item_table_grows_as_the_catalogue_does() -> None:
    for precision in ("float32", "int8"):
        before = ItemTable.of(table(4), precision)
        kept = before.rows(np.arange(4)).copy()
        first = before.with_rows(5, np.array([4]), table(1))
        second = first.with_rows(6, np.array([5]), table(1))
        third = second.with_rows(6, np.array([0]), table(1) * 100)
        assert np.shares_memory(first.codes, second.codes)
        for one in (before, first, second):
            np.testing.assert_array_equal(one.rows(np.arange(4)), kept)
        np.testing.assert_allclose(third.rows(np.array([0, 5])), [table(1)[0] * 100, table(1)[0]], rtol=0.02)


def test_large_arrays_are_mapped_from_the_file_and_changed_for_nobody_else(tmp_path: Path) -> None:
    large = np.arange(arrays.MAPPED_FROM // 4, dtype=np.float32)
    whole: dict[str, npt.NDArray[Any]] = {
        "large": large,
        "odd": np.arange(3, dtype=np.int8),
        "wide": large.astype(np.float64).reshape(-1, 2),
    }
    arrays.write(tmp_path, whole, {})
    one, other = arrays.read(tmp_path)[0], arrays.read(tmp_path)[0]
    if sys.platform == "linux":
        assert Path("/proc/self/maps").read_text().count(str(tmp_path / arrays.ARRAYS)) == 4
    one["large"][:] = 0
    for name, array in whole.items():
        np.testing.assert_array_equal(other[name], array)
        np.testing.assert_array_equal(arrays.read(tmp_path)[0][name], array)
        assert other[name].flags.aligned
    (tmp_path / arrays.ARRAYS).unlink()
    np.testing.assert_array_equal(other["wide"], whole["wide"])
