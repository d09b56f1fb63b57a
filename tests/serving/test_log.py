from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from liverank.errors import DataError, ServingError, StoreError
from liverank.events import Record
from liverank.store import SqliteStore, open_store
from serving.calls import concerning
from serving.log import MOST_NAMED, LogWriter
from serving.logs import TextLines
from tests.store.contract import click, shown


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(tmp_path / "live.db")
    yield store
    store.close()


def kept(store: SqliteStore) -> list[str]:
    return [getattr(record, "event_id", "") or record.impression_id for _, record in store.export()]  # type: ignore[union-attr]


def test_order_of_arrival_is_order_in_the_log(store: SqliteStore) -> None:
    log = LogWriter(store, 100, lambda count: None)
    assert log.note(lambda: shown(1))
    assert asyncio.run(log.write([click(1), click(1), click(2)])) == 2
    assert log.note(lambda: shown(2))
    log.close()
    assert kept(store) == ["u-m1", "u-1", "u-2", "u-m2"]


def test_writers_share_commits_and_each_hears_its_own_count(store: SqliteStore) -> None:
    log = LogWriter(store, 100, lambda count: None)

    async def write() -> list[int]:
        return await asyncio.gather(*(log.write([click(number), click(0)]) for number in range(20)))

    counts = asyncio.run(write())
    assert sum(counts) == 20
    log.close()


def test_notes_beyond_the_bound_are_refused_and_counted(store: SqliteStore) -> None:
    dropped: list[int] = []
    log = LogWriter(store, 3, dropped.append)
    with store._lock:  # the writer is stuck in its commit
        taken = [log.note(lambda number=number: shown(number)) for number in range(10)]
    log.close()
    assert sum(taken) == len(kept(store))
    assert sum(taken) + sum(dropped) == 10
    assert 3 <= sum(taken) < 10


def test_a_bad_append_does_not_take_its_neighbours_down(store: SqliteStore) -> None:
    log = LogWriter(store, 100, lambda count: None)

    async def write() -> list[int | BaseException]:
        batches: list[list[Any]] = [[click(1)], [object()], [click(2)]]
        return await asyncio.gather(*map(log.write, batches), return_exceptions=True)

    first, bad, last = asyncio.run(write())
    assert (first, last) == (1, 1)
    assert isinstance(bad, DataError)
    log.close()
    assert kept(store) == ["u-1", "u-2"]


def test_a_store_that_cannot_write_is_heard_of(tmp_path: Path) -> None:
    dropped: list[int] = []
    store = open_store(tmp_path / "live.db")
    log = LogWriter(store, 100, dropped.append)
    store.close()
    with pytest.raises(StoreError):
        asyncio.run(log.write([click(1)]))
    log.note(lambda: shown(1))
    log.close()
    assert sum(dropped) == 1


class Intermittent(SqliteStore):
    """A store that cannot write while `down`."""

    down = False

    def append_batches(self, batches: Sequence[Sequence[Record]]) -> list[int]:
        if self.down:
            raise StoreError("The live store is away.")
        return super().append_batches(batches)


class Stuck(SqliteStore):
    """A store whose first commit waits until it is freed, and that is away for the following ones."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.entered, self.freed = threading.Event(), threading.Event()

    def append_batches(self, batches: Sequence[Sequence[Record]]) -> list[int]:
        if self.entered.is_set():
            raise StoreError("The live store is away.")
        self.entered.set()
        assert self.freed.wait(30)
        return super().append_batches(batches)


def test_a_store_that_is_away_is_logged_with_the_requests_that_it_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Intermittent(tmp_path / "live.db")
    caplog.handler.setFormatter(TextLines())
    log = LogWriter(store, 100, lambda count: None)
    store.down = True
    for request in ("order-17", "order-18"):
        with concerning([request]), pytest.raises(StoreError):
            asyncio.run(log.write([click(1)]))
    log.close()
    # The second meets the same trouble within a minute.
    (line,) = caplog.text.splitlines()
    assert line.endswith("WARNING serving.troubles: The live store is away. [request order-17]")
    store.close()


def test_a_commit_names_a_bounded_number_of_requests_and_refused_ones_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Stuck(tmp_path / "live.db")
    caplog.handler.setFormatter(TextLines())
    log = LogWriter(store, 100, lambda count: None)

    async def write(number: int) -> None:
        with concerning([f"write-{number}"]):
            await log.write([click(number)])

    async def all_at_once() -> None:
        first = asyncio.create_task(write(0))
        await asyncio.to_thread(store.entered.wait, 30)
        # All of these wait for the next commit.
        with concerning(["ranked"]):
            assert log.note(lambda: shown(1))
        others = [asyncio.create_task(write(number)) for number in range(1, MOST_NAMED + 3)]
        await asyncio.sleep(0)
        store.freed.set()
        await first
        assert all(isinstance(of, StoreError) for of in await asyncio.gather(*others, return_exceptions=True))

    asyncio.run(all_at_once())
    log.close()
    named = ",".join(f"write-{number}" for number in range(1, MOST_NAMED + 1))
    assert caplog.text.count(f"The live store is away. [request {named}]") == 1
    store.close()


def until(wanted: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not wanted():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_what_was_noted_before_a_store_went_away_is_written_when_it_is_back(tmp_path: Path) -> None:
    dropped: list[int] = []
    store = Intermittent(tmp_path / "live.db")
    log = LogWriter(store, 100, dropped.append)
    store.down = True
    taken = [log.note(lambda number=number: shown(number)) for number in range(3)]
    with pytest.raises(StoreError, match="away"):
        asyncio.run(log.write([click(1)]))
    until(lambda: not log.note(lambda: shown(9)))
    assert (taken, dropped) == ([True] * 3, [1])
    store.down = False
    # Nothing but time is needed: the writer tries by itself.
    until(lambda: len(kept(store)) == 3)
    until(lambda: log.note(lambda: shown(4)))
    log.close()
    assert kept(store) == ["u-m0", "u-m1", "u-m2", "u-m4"]
    store.close()


def test_a_store_that_only_refused_events_is_found_again(tmp_path: Path) -> None:
    store = Intermittent(tmp_path / "live.db")
    log = LogWriter(store, 100, lambda count: None)
    store.down = True
    with pytest.raises(StoreError):
        asyncio.run(log.write([click(1)]))
    assert not log.note(lambda: shown(1))
    store.down = False
    until(lambda: log.note(lambda: shown(2)))
    log.close()
    assert kept(store) == ["u-m2"]
    store.close()


def test_notes_that_a_store_never_took_are_counted_at_the_end(tmp_path: Path) -> None:
    dropped: list[int] = []
    store = Intermittent(tmp_path / "live.db")
    log = LogWriter(store, 100, dropped.append)
    store.down = True
    taken = sum(log.note(lambda number=number: shown(number)) for number in range(5))
    log.close()
    assert taken > 0
    assert sum(dropped) == 5
    store.close()


def test_closing_writes_what_waits_and_then_refuses(store: SqliteStore) -> None:
    log = LogWriter(store, 1000, lambda count: None)
    for number in range(500):
        log.note(lambda number=number: shown(number))
    assert log.alive
    log.close()
    assert len(kept(store)) == 500
    assert not log.alive
    assert not log.note(lambda: shown(1))
    with pytest.raises(ServingError, match="stopping"):
        asyncio.run(log.write([click(1)]))
