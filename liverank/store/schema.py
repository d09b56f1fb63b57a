"""The tables of the SQLite live store and how a connection to it is set up."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from liverank.errors import DataError

VERSION: Final = 2
BUSY_SECONDS: Final = 30.0
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

# Version 1 had no `erased` and no `identity`; every statement leaves alone what is there, so that opening a store of
# version 1 brings it to this one. `identity` tells this log from another one that took its place under the same path.
#
# `log` keeps every record in arrival order; AUTOINCREMENT never gives a deleted sequence number again, so that a cursor
# stays right after an erasure. `history` repeats what a ranking reads, clustered by user and time: one range scan.
TABLES: Final = """
CREATE TABLE IF NOT EXISTS log (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  user_id TEXT,
  arrived REAL NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (kind, key)
);
CREATE INDEX IF NOT EXISTS log_user ON log (user_id, sequence) WHERE user_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS history (
  user_id TEXT NOT NULL,
  timestamp REAL NOT NULL,
  sequence INTEGER NOT NULL,
  item_id TEXT NOT NULL,
  type TEXT NOT NULL,
  PRIMARY KEY (user_id, timestamp, sequence)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS erased (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  user TEXT NOT NULL UNIQUE,
  sequence INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL);
INSERT INTO identity SELECT lower(hex(randomblob(8))) WHERE NOT EXISTS (SELECT 1 FROM identity);
"""


def connect(path: Path) -> sqlite3.Connection:
    """A connection whose commits are on disk when they return; usable from any thread, one at a time."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous=FULL")
    # Erased rows are overwritten with zeros, not only unlinked.
    connection.execute("PRAGMA secure_delete=ON")
    return connection


def prepare(path: Path) -> sqlite3.Connection:
    """Opens or creates the store's file.

    Raises:
        DataError: the folder cannot be written, or the file is no live store of this version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(path)
        connection.execute("PRAGMA journal_mode=WAL")
        _create(connection, path)
    except (OSError, sqlite3.Error) as problem:
        writable = "Set serving.store to a file that can be written."
        raise DataError(f"The live store {path} cannot be opened: {problem}.", remedy(problem) or writable) from problem
    return connection


def remedy(problem: Exception) -> str:
    """What to do about a file that is damaged; empty for other errors, which may pass."""
    # The low byte of an extended code is the primary one; errors of the module itself have none.
    if getattr(problem, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
        return ""
    return (
        "The file is damaged, or no live store: put a backup in its place (and remove what ends in -wal and -shm "
        "there), save what can be read with sqlite3's .recover, or set serving.store to another file."
    )


def _create(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    ours = not tables or connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'log'").fetchone()
    if version > VERSION or not ours:
        connection.close()
        raise DataError(f"{path} is a database, but no live store of version {VERSION}.", "Name another file.")
    connection.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version={VERSION}; COMMIT;")
