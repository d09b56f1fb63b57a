from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from liverank.errors import DataError
from liverank.events import encode_record
from liverank.store import Erasure, SqliteStore, open_store, user_hash
from tests.store.contract import StoreContract, click

WRITER = """
import sys
from datetime import UTC, datetime
from liverank.events import Interaction
from liverank.store import open_store
store = open_store(sys.argv[1])
name, count = sys.argv[2], int(sys.argv[3])
for n in range(count):
    now = datetime.now(UTC)
    event = Interaction(event_id=f"{name}-{n}", user_id=name, item_id=f"i{n}", type="click", timestamp=now)
    store.append([event])
    print(event.event_id, flush=True)
"""


def writer(place: Path | str, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(place), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


class TestSqliteStore(StoreContract):
    def open(self, folder: Path) -> SqliteStore:
        return open_store(folder / "nested" / "live.db")


def test_every_acknowledged_event_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    process = writer(path, "a", 1_000_000)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(200)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += [line.strip() for line in process.stdout.read().split("\n") if line.strip()]
    process.wait()
    store = open_store(path)
    kept = [record.event_id for _, record in store.export()]  # type: ignore[union-attr]
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) - len(acknowledged) <= 1
    assert store.append([click(1)]) == 1
    store.close()


def test_two_processes_write_while_a_third_reads(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    processes = [writer(path, name, 150) for name in "ab"]
    store = open_store(path)
    cursor, seen = 0, []
    while len(seen) < 300:
        for sequence, record in store.export(cursor):
            assert sequence > cursor
            cursor = sequence
            seen.append(record.event_id)  # type: ignore[union-attr]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(set(seen)) == 300
    assert list(store.history("a", 2).item_ids) == ["i148", "i149"]
    store.close()
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()


def test_threads_write_and_read(tmp_path: Path) -> None:
    store = open_store(tmp_path / "live.db")
    counts: list[int] = []

    def write(name: str) -> None:
        counts.append(sum(store.append([click(n, name)]) for n in range(30)))
        assert len(store.history(name, 50)) == 30

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [30] * 4
    assert store.cursor() == 120
    store.close()


def test_erased_bytes_are_off_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    store = open_store(path)
    store.append([click(n, "user-to-forget") for n in range(500)] + [click(1, "other")])
    store.erase("user-to-forget")
    for file in tmp_path.iterdir():
        assert b"user-to-forget" not in file.read_bytes(), file.name
    assert len(store.history("other", 9)) == 1
    store.close()


def test_first_arrival_is_the_clock_of_the_store(tmp_path: Path) -> None:
    times = iter([10.0, 20.0])
    store = open_store(tmp_path / "live.db", clock=lambda: next(times))
    store.append([click(1)])
    store.append([click(2)])
    assert store.first_arrival("u") == 10.0
    store.close()


VERSION_1 = """
CREATE TABLE log (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL, user_id TEXT,
  arrived REAL NOT NULL,
  body BLOB NOT NULL, UNIQUE (kind, key)
);
CREATE INDEX log_user ON log (user_id, sequence) WHERE user_id IS NOT NULL;
CREATE TABLE history (
  user_id TEXT NOT NULL, timestamp REAL NOT NULL, sequence INTEGER NOT NULL, item_id TEXT NOT NULL, type TEXT NOT NULL,
  PRIMARY KEY (user_id, timestamp, sequence)
) WITHOUT ROWID;
PRAGMA user_version=1;
"""


def test_a_store_of_version_1_goes_on_as_one_of_version_2(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    event = click(1)
    with sqlite3.connect(path) as connection:
        connection.executescript(VERSION_1)
        row = ("interaction", event.event_id, "u", 10.0, encode_record(event))
        connection.execute("INSERT INTO log (kind, key, user_id, arrived, body) VALUES (?, ?, ?, ?, ?)", row)
        history = ("u", event.timestamp.timestamp(), 1, event.item_id, event.type)
        connection.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?)", history)
    connection.close()
    store = open_store(path)
    assert list(store.export_arrivals()) == [(1, 10.0, event)]
    assert list(store.history("u", 9).item_ids) == ["i1"]
    assert store.append([click(1), click(2)]) == 1
    assert store.erase("u") == 2
    assert store.erasures() == [Erasure(1, user_hash("u"), store.cursor())]
    identity = store.identity()
    store.close()
    store = open_store(path)
    assert (store.identity(), len(store.erasures())) == (identity, 1)
    store.close()


def test_a_store_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    open_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=3")
    connection.close()
    with pytest.raises(DataError, match="no live store of version 2"):
        open_store(path)


def test_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    path.write_bytes(b"something else " * 100)
    with pytest.raises(DataError, match=r"live\.db cannot be opened"):
        open_store(path)


def test_another_database(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(DataError, match="no live store"):
        open_store(path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be opened"):
        open_store(tmp_path / "file" / "live.db")
