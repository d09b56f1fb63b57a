"""The live store on SQLite: one file, any number of processes, nothing to install."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from liverank.errors import DataError, StoreError
from liverank.events import Interaction, Item, Record, encode_record, to_utc
from liverank.ranking.protocol import History
from liverank.store.erasures import Erasure, user_hash
from liverank.store.records import decoded, key_of
from liverank.store.schema import connect, prepare, remedy

PAGE = 1000
"""Rows read at once in an export, so that no reader holds the write-ahead log back."""


class SqliteStore:
    """Records in arrival order and each user's history; safe for many threads and processes.

    One connection writes, under a lock; every reading thread has its own and never waits for the writer.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._writer = prepare(path)
        self._lock = threading.Lock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self.path)

    def append(self, records: Sequence[Record]) -> int:
        """Writes records, all or none, and returns how many said something new; they are on disk when it returns.

        An interaction or impression whose id is known is left as it was; an item or user replaces its older version
        and moves to the end of the log, unless it is equal.
        """
        return self.append_batches([records])[0]

    def append_batches(self, batches: Sequence[Sequence[Record]]) -> list[int]:
        """Several appends in one commit, which costs one disk flush; the number of new records of each."""
        with self._lock, self._told(), self._transaction():
            arrived = self._clock()
            return [sum(self._insert(record, arrived) for record in batch) for batch in batches]

    def history(self, user_id: str, n: int, before: float | None = None) -> History:
        """The latest `n` events of a user by (timestamp, arrival), oldest first; empty for an unknown user.

        `before` leaves out what is dated at that time (epoch seconds) or later, as training does for a request.
        """
        rows = self._read(
            "SELECT item_id, type, timestamp FROM history WHERE user_id = ? AND timestamp < ?"
            " ORDER BY timestamp DESC, sequence DESC LIMIT ?",
            (user_id, math.inf if before is None else before, n),
        )
        if not rows:
            return History()
        items, types, times = zip(*reversed(rows), strict=True)
        return History(items, types, times)

    def export(self, since: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        """Records after the cursor `since` in arrival order, each with its own cursor; at most `limit`."""
        return ((sequence, record) for sequence, _, record in self.export_arrivals(since, limit))

    def export_arrivals(self, since: int = 0, limit: int | None = None) -> Iterator[tuple[int, float, Record]]:
        """As `export`, with the epoch seconds at which each record arrived between its cursor and itself."""
        left = limit
        while left is None or left > 0:
            rows = self._read(
                "SELECT sequence, arrived, body FROM log WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (since, PAGE if left is None else min(PAGE, left)),
            )
            if not rows:
                return
            yield from ((sequence, arrived, decoded(sequence, body)) for sequence, arrived, body in rows)
            since = rows[-1][0]
            left = None if left is None else left - len(rows)

    def cursor_before(self, arrived: float) -> int:
        """A cursor before the first record that arrived at that time or later; reads what precedes it in the log.

        Arrivals need not be in order: a clock may have been set back.
        """
        found = self._read("SELECT sequence FROM log WHERE arrived >= ? ORDER BY sequence LIMIT 1", (arrived,))
        return int(found[0][0]) - 1 if found else self.cursor()

    def cursor(self) -> int:
        """Sequence number of the latest record ever written (0: none), also when it has been erased since."""
        rows = self._read("SELECT seq FROM sqlite_sequence WHERE name = 'log'")
        return int(rows[0][0]) if rows else 0

    def identity(self) -> str:
        """16 hex digits that no other live store has; a copy of the file has them too."""
        ((identity,),) = self._read("SELECT id FROM identity")
        return str(identity)

    def erasures(self) -> list[Erasure]:
        """Every erased user, in the order of the (latest) erasure of each."""
        return [Erasure(*row) for row in self._read("SELECT number, user, sequence FROM erased ORDER BY number")]

    def items(self, since: int = 0) -> list[Item]:
        """The latest version of every item that came or changed after the cursor `since`, in arrival order."""
        rows = self._read(
            "SELECT sequence, body FROM log WHERE kind = 'item' AND sequence > ? ORDER BY sequence", (since,)
        )
        items = (decoded(sequence, body) for sequence, body in rows)
        return [item for item in items if isinstance(item, Item)]

    def user(self, user_id: str) -> list[Record]:
        """Everything the store holds about a user, in arrival order."""
        return [record for _, _, record in self.user_arrivals(user_id)]

    def user_arrivals(self, user_id: str) -> list[tuple[int, float, Record]]:
        """As `user`, each record with its cursor and the epoch seconds at which it arrived."""
        rows = self._read(
            "SELECT sequence, arrived, body FROM log WHERE user_id = ? ORDER BY sequence",
            (user_id,),
        )
        return [(sequence, arrived, decoded(sequence, body)) for sequence, arrived, body in rows]

    def first_arrival(self, user_id: str) -> float | None:
        """Epoch seconds at which the store's oldest record about a user arrived; None for an unknown user."""
        ((arrived,),) = self._read("SELECT min(arrived) FROM log WHERE user_id = ?", (user_id,))
        return float(arrived) if arrived is not None else None

    def erase(self, user_id: str) -> int:
        """Deletes everything about a user, on disk too, and returns how many records that were.

        What stays is an `Erasure`, by which copies of the log learn of it.
        """
        with self._lock, self._told():
            with self._transaction():
                self._writer.execute("DELETE FROM history WHERE user_id = ?", (user_id,))
                erased = self._writer.execute("DELETE FROM log WHERE user_id = ?", (user_id,)).rowcount
                if erased:
                    # REPLACE gives the row a new number: a copy that knows the older erasure sees this one.
                    self._writer.execute(
                        "INSERT OR REPLACE INTO erased (user, sequence)"
                        " SELECT ?, seq FROM sqlite_sequence WHERE name = 'log'",
                        (user_hash(user_id),),
                    )
            # Old pages live on in the write-ahead log until it is emptied.
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return erased

    def acknowledge(self, reader: str, cursor: int) -> None:
        """Changes nothing: the file keeps its whole log."""

    def trimmed(self) -> int:
        """0: the file keeps its whole log."""
        return 0

    def close(self) -> None:
        """Closes every connection; the store cannot be used afterwards."""
        with self._lock:
            for connection in (*self._readers, self._writer):
                connection.close()
            self._readers.clear()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            # Some errors, a full disk among them, end the transaction by themselves.
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tells SQLite's errors as ours: of the record itself, or of the store."""
        try:
            yield
        except (sqlite3.DataError, sqlite3.IntegrityError) as problem:
            raise DataError(f"The live store {self.path} cannot take a record: {problem}.") from problem
        except sqlite3.Error as problem:
            raise StoreError(f"The live store {self.path} cannot be used: {problem}.", remedy(problem)) from problem

    def _insert(self, record: Record, arrived: float) -> bool:
        record = to_utc(record)
        kind, key, user_id = key_of(record)
        body = encode_record(record)
        if kind in {"item", "user"} and not self._make_room(kind, key, body):
            return False
        added = self._writer.execute(
            "INSERT INTO log (kind, key, user_id, arrived, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (kind, key, user_id, arrived, body),
        )
        if added.rowcount and isinstance(record, Interaction):
            self._writer.execute(
                "INSERT INTO history VALUES (?, ?, ?, ?, ?)",
                (user_id, record.timestamp.timestamp(), added.lastrowid, record.item_id, record.type),
            )
        return bool(added.rowcount)

    def _make_room(self, kind: str, key: str, body: bytes) -> bool:
        old = self._writer.execute("SELECT body FROM log WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        if old and old[0] == body:
            return False
        self._writer.execute("DELETE FROM log WHERE kind = ? AND key = ?", (kind, key))
        return True

    def _read(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self._told():
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = connect(self.path)
                self._readers.append(connection)
            return connection.execute(query, values).fetchall()
