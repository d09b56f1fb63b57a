"""The engine of the features: the PySpark DataFrame API on DuckDB, which spills to disk when memory runs out.

Only this module and the import line of `definitions` and `requests` know that the frames are SQLFrame's; on a cluster
the same functions take a Spark session's frames.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from sqlframe.duckdb import DuckDBSession

from liverank.errors import ConfigError

Frame = Any
"""A PySpark or SQLFrame DataFrame; neither package has types that mypy can follow."""

SPILL_FOLDER = ".spill"


@contextmanager
def open_engine(memory_limit: str, folder: Path) -> Iterator[DuckDBSession]:
    """A session whose spill files live in `folder/.spill` and go away with it.

    Args:
        memory_limit: memory before spilling, in DuckDB's syntax ("4GB").
        folder: an existing folder on a disk with room.

    Raises:
        ConfigError: `memory_limit` is not an amount of memory.
    """
    spill = folder / SPILL_FOLDER
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir()
    connection = _connect(memory_limit, spill)
    session = DuckDBSession(conn=connection)
    try:
        yield session
    finally:
        session.stop()
        shutil.rmtree(spill, ignore_errors=True)


def _connect(memory_limit: str, spill: Path) -> Any:
    connection = duckdb.connect(config={"temp_directory": str(spill), "autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    try:
        return connection.execute("SET memory_limit = ?", [memory_limit])
    except duckdb.Error as problem:
        raise ConfigError(
            f"features.memory_limit: '{memory_limit}' is not an amount of memory.", "Write it like 4GB or 512MB."
        ) from problem


def scan(session: DuckDBSession, path: Path) -> Frame:
    """A Parquet file as a frame; nothing is read yet."""
    # Through a view, because SQLFrame's own reader cannot take a path with a quote in it.
    name = f"file_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    session._conn.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet('{_escaped(path)}')")
    return session.table(name)


def write(frame: Frame, path: Path) -> None:
    """Computes a frame into one Parquet file; rows keep the frame's order, equal frames give equal bytes."""
    frame.write.mode("overwrite").parquet(_escaped(path), compression="zstd")


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
