"""Segments are committed by their names: nothing twice, nothing lost, whenever the process dies."""

from __future__ import annotations

import os
import signal
import time
from itertools import count

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverank.data import landing as module
from liverank.data.landing import Landing, Segment
from liverank.errors import DataError
from tests.data.dying import dies_at

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])


def rows(first: int, last: int) -> pa.Table:
    return pa.table({"n": range(first, last + 1), "text": [f"row {n}" for n in range(first, last + 1)]})


def landed(landing: Landing) -> list[int]:
    with landing.reading():
        return [n for segment in landing.segments() for n in landing.read(segment)["n"].to_pylist()]


def test_a_segment_says_its_cursor_in_its_name(tmp_path):
    landing = Landing(tmp_path / "new" / "landing", SCHEMA)
    assert landing.cursor("a") is None
    with landing.writing():
        landing.land(Segment("a", 1, 10), rows(1, 10))
        landing.land(Segment("a", 11, 15), rows(12, 14))
        landing.land(Segment("topic-1.x-3", 0, 4), rows(0, 4))
    names = sorted(path.name for path in landing.folder.glob("*.parquet"))
    assert names[0] == "a.00000000000000000001-00000000000000000010.parquet"
    assert landing.segments("topic-1.x-3") == [Segment("topic-1.x-3", 0, 4)]
    assert (landing.cursor("a"), landing.cursor("topic-1.x-3"), landing.cursor("b")) == (15, 4, None)
    assert landed(landing) == [*range(1, 11), 12, 13, 14, *range(5)]


def test_compaction_keeps_the_rows_and_the_holes(tmp_path):
    landing = Landing(tmp_path, SCHEMA)
    ranges = [(1, 10), (11, 12), (13, 20), (25, 26), (27, 30), (31, 90)]
    with landing.writing():
        for first, last in ranges:
            landing.land(Segment("a", first, last), rows(first, last))
        before = landed_now(landing)
        assert landing.compact(rows=50, most=3) == 5
    # 1-20 and 25-30 have no hole; 31-90 is too long to join.
    assert landing.segments() == [Segment("a", 1, 20), Segment("a", 25, 30), Segment("a", 31, 90)]
    assert landed(landing) == before
    with landing.writing():
        assert landing.compact(rows=50, most=3) == 0


def landed_now(landing: Landing) -> list[int]:
    return [n for segment in landing.segments() for n in landing.read(segment)["n"].to_pylist()]


@settings(max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=25),
    limit=st.integers(1, 60),
    holes=st.sets(st.integers(0, 24)),
)
def test_any_compaction_keeps_every_row_once(tmp_path_factory, sizes, limit, holes):
    landing = Landing(tmp_path_factory.mktemp("l"), SCHEMA)
    first, all_rows = 1, []
    with landing.writing():
        for at, size in enumerate(sizes):
            first += 5 * (at in holes)
            landing.land(Segment("a", first, first + size - 1), rows(first, first + size - 1))
            all_rows += range(first, first + size)
            first += size
        landing.compact(rows=limit, most=2)
        assert landed_now(landing) == all_rows
        assert landing.cursor("a") == all_rows[-1]


def test_kill_9_at_every_step_of_landing_and_compaction(tmp_path):
    """A source of 40 rows: each run lands what is missing, five rows a segment, and compacts."""

    def run(folder):
        landing = Landing(folder, SCHEMA)
        with landing.writing():
            while (since := landing.cursor("a") or 0) < 40:
                landing.land(Segment("a", since + 1, since + 5), rows(since + 1, since + 5))
                landing.compact(rows=20, most=3)

    deaths = 0
    for step in count(1):
        folder = tmp_path / str(step)
        died = dies_at(step, lambda folder=folder: run(folder))
        left = landed_now(Landing(folder, SCHEMA))
        assert left == list(range(1, len(left) + 1))
        run(folder)
        landing = Landing(folder, SCHEMA)
        assert landed(landing) == list(range(1, 41))
        with landing.writing():
            pass
        assert sorted(path.name for path in folder.glob("*.*")) == sorted(one.name for one in landing.segments())
        deaths += died
        if not died:
            break
    assert deaths > 40


def test_two_processes_do_not_land_at_once(tmp_path):
    landing = Landing(tmp_path, SCHEMA)
    landing.folder.mkdir(exist_ok=True)
    child = os.fork()
    if not child:
        with landing.writing():
            landing.land(Segment("a", 1, 5), rows(1, 5))
            (tmp_path / "held").touch()
            time.sleep(0.7)
            landing.land(Segment("a", 6, 9), rows(6, 9))
        os._exit(0)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with landing.writing():
        assert landing.cursor("a") == 9
    assert os.waitpid(child, 0)[1] == 0


def test_a_lock_that_is_kept_is_named_and_one_of_the_dead_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.5)
    landing = Landing(tmp_path, SCHEMA)
    child = os.fork()
    if not child:
        with landing.writing():
            (tmp_path / "held").touch()
            time.sleep(60)
        os._exit(0)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(DataError, match="Another run has kept"), landing.reading():
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with landing.writing():
        landing.land(Segment("a", 1, 1), rows(1, 1))


def test_readers_do_not_wait_for_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.0)
    landing = Landing(tmp_path, SCHEMA)
    with landing.reading(), landing.reading():
        pass


def test_a_damaged_segment_is_named(tmp_path):
    landing = Landing(tmp_path, SCHEMA)
    with landing.writing():
        landing.land(Segment("a", 1, 5), rows(1, 5))
    file = landing.path(Segment("a", 1, 5))
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(DataError, match=r"00005\.parquet cannot be read"):
        landing.read(Segment("a", 1, 5))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"), Landing(tmp_path / "file" / "x", SCHEMA).writing():
        pass


def test_fields_that_came_later_are_null_in_older_segments(tmp_path):
    grown = [pa.struct([("x", pa.int64())]), pa.struct([("x", pa.int64()), ("y", pa.string())])]
    old, new = (Landing(tmp_path, pa.schema([("s", kind)])) for kind in grown)
    with old.writing():
        old.land(Segment("a", 1, 2), pa.table({"s": pa.array([{"x": 1}, None], grown[0])}))
    assert new.read(Segment("a", 1, 2)).to_pylist() == [{"s": {"x": 1, "y": None}}, {"s": None}]
