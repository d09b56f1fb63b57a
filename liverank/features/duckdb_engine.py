"""DuckDB as the engine: the PySpark API through SQLFrame; spills to disk when memory runs out."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
from sqlframe.duckdb import DuckDBSession, Window, functions

from liverank.config.features import FeatureConfig
from liverank.errors import ConfigError
from liverank.features.engine import Frame

BATCH_ROWS: Final = 65_536
"""Rows that leave the engine at a time where not all are wanted in memory."""


class DuckDBEngine:
    """Frames are SQLFrame's; every source is a view, because its own reader cannot take a path with a quote."""

    name = f"duckdb {duckdb.__version__}"
    functions: Any = functions
    window: Any = Window

    def __init__(self, connection: Any, folder: Path) -> None:
        self.connection, self.folder = connection, folder
        self.session = DuckDBSession(conn=connection)
        self._views = 0

    def scan(self, paths: Path | str | Sequence[Path]) -> Frame:
        """See `Engine`."""
        files = [paths] if isinstance(paths, Path | str) else paths
        listed = ", ".join(f"'{_escaped(path)}'" for path in files)
        return self._view(f"SELECT * FROM read_parquet([{listed}], hive_partitioning = false)")

    def rows(self, table: pa.Table) -> Frame:
        """See `Engine`."""
        self._views += 1
        name = f"rows_{self._views}"
        # A table, for a registered one is there for its own connection alone.
        self.connection.register("given", table)
        self.connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
        self.connection.unregister("given")
        return self._view(f"SELECT * FROM {name}", table.column_names)

    def _view(self, query: str, columns: Sequence[str] = ()) -> Frame:
        self._views += 1
        name = f"source_{self._views}"
        self.connection.execute(f"CREATE VIEW {name} AS {query}")
        columns = columns or [one[0] for one in self.connection.execute(f"SELECT * FROM {name} LIMIT 0").description]
        # SQLFrame would ask DuckDB's catalog, column by column; it needs the names alone, for it computes nothing.
        self.session.catalog.add_table(name, {_named(column): "string" for column in columns})
        return self.session.table(name)

    def kept(self, frame: Frame, name: str) -> Frame:
        """See `Engine`."""
        path = self.folder / f"{name}.parquet"
        self._copy(frame, path, "COMPRESSION lz4")
        return self.scan(path)

    def staged(self, frame: Frame) -> Frame:
        """See `Engine`."""
        # SQLFrame copies the whole query at each step, and so takes quadratic time over a long chain of them.
        return self._view(_sql(frame), frame.columns)

    def union(self, *frames: Frame) -> Frame:
        """See `Engine`."""
        return self._view(
            " UNION ALL BY NAME ".join(f"SELECT * FROM ({_sql(frame)})" for frame in frames), frames[0].columns
        )

    def groups(self, frame: Frame, column: str, order: Sequence[str], name: str) -> Iterator[tuple[int, pa.Table]]:
        """See `Engine`."""
        # One sort that streams: to write each group aside and sort it when it is read took twice the time.
        ordered = f"SELECT * FROM ({_sql(frame)}) ORDER BY {', '.join([column, *order])}"
        return _runs(self.connection.cursor(), ordered, column)

    def _copy(self, frame: Frame, path: Path, options: str) -> None:
        self.connection.execute(f"COPY ({_sql(frame)}) TO '{_escaped(path)}' (FORMAT parquet, {options})")

    def arrow(self, frame: Frame) -> pa.Table:
        """See `Engine`."""
        return self.connection.sql(_sql(frame)).to_arrow_table()

    def row_hash(self, columns: Sequence[str]) -> Any:
        """See `Engine`."""
        return functions.expr(f"hash({', '.join(columns)})")

    def instant(self, micros: str | int) -> Any:
        """See `Engine`."""
        return functions.expr(f"make_timestamptz({micros})")


@contextmanager
def open_duckdb(config: FeatureConfig, spill: Path) -> Iterator[DuckDBEngine]:
    """DuckDB in memory with its working files in `spill`.

    Raises:
        ConfigError: `memory_limit` is not an amount of memory.
    """
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir()
    engine = DuckDBEngine(_connect(config.memory_limit, spill), spill)
    often = gc.get_threshold()
    # SQLFrame copies its trees all the time: that many new objects make Python look for garbage all the time.
    gc.set_threshold(500_000, 20, 100)
    try:
        yield engine
    finally:
        gc.set_threshold(*often)
        engine.session.stop()
        shutil.rmtree(spill, ignore_errors=True)


def _connect(memory_limit: str, spill: Path) -> Any:
    connection = duckdb.connect(config={"temp_directory": str(spill), "autoinstall_known_extensions": False})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    try:
        return connection.execute("SET memory_limit = ?", [memory_limit])
    except duckdb.Error as problem:
        raise ConfigError(
            f"features.memory_limit: '{memory_limit}' is not an amount of memory.", "Write it like 4GB or 512MB."
        ) from problem


def _runs(connection: Any, query: str, column: str) -> Iterator[tuple[int, pa.Table]]:
    """Each value of the column, by which the rows are sorted, with its rows; the column itself is left out."""
    held: list[pa.RecordBatch] = []
    current: int | None = None
    for batch in connection.sql(query).to_arrow_reader(BATCH_ROWS):
        values = batch.column(column).to_numpy()
        starts = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
        for start, end in pairwise(starts):
            value = int(values[start])
            if current is not None and value != current:
                yield current, pa.Table.from_batches(held).drop_columns([column])
                held = []
            current = value
            held.append(batch.slice(start, end - start))
    if current is not None:
        yield current, pa.Table.from_batches(held).drop_columns([column])


def _sql(frame: Frame) -> str:
    return str(frame.sql(dialect="duckdb", optimize=False, pretty=False))


def _named(column: str) -> str:
    return column if column.isidentifier() else f"`{column}`"


def _escaped(path: Path | str) -> str:
    return str(path).replace("'", "''")
