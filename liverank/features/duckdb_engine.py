"""DuckDB as the engine: the PySpark API through SQLFrame; spills to disk when memory runs out."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlframe.duckdb import DuckDBSession, Window, functions

from liverank.config.features import FeatureConfig
from liverank.errors import ConfigError
from liverank.features.engine import Frame


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
        self.connection.register(f"arrow_{self._views}", table)
        return self._view(f"SELECT * FROM arrow_{self._views}")

    def _view(self, query: str) -> Frame:
        self._views += 1
        name = f"source_{self._views}"
        self.connection.execute(f"CREATE VIEW {name} AS {query}")
        described = self.connection.execute(f"SELECT * FROM {name} LIMIT 0").description
        # SQLFrame would ask DuckDB's catalog, column by column; it needs the names alone, for it computes nothing.
        self.session.catalog.add_table(name, {_named(column[0]): "string" for column in described})
        return self.session.table(name)

    def kept(self, frame: Frame, name: str) -> Frame:
        """See `Engine`."""
        path = self.folder / f"{name}.parquet"
        self._copy(frame, path, "COMPRESSION lz4")
        return self.scan(path)

    def staged(self, frame: Frame) -> Frame:
        """See `Engine`."""
        # SQLFrame copies the whole query at each step, and so takes quadratic time over a long chain of them.
        return self._view(_sql(frame))

    def union(self, *frames: Frame) -> Frame:
        """See `Engine`."""
        return self._view(" UNION ALL BY NAME ".join(f"SELECT * FROM ({_sql(frame)})" for frame in frames))

    def groups(self, frame: Frame, column: str, order: Sequence[str], name: str) -> Iterator[tuple[int, pa.Table]]:
        """See `Engine`."""
        folder = self.folder / name
        # Without an order the rows go to their files as they come: each file is sorted when it is read.
        self.connection.execute("SET preserve_insertion_order = false")
        self._copy(frame, folder, f"PARTITION_BY ({column}), COMPRESSION lz4")
        self.connection.execute("SET preserve_insertion_order = true")
        for part in sorted(folder.glob(f"{column}=*")):
            files = f"read_parquet('{_escaped(part)}/*.parquet', hive_partitioning = false)"
            rows = self.connection.sql(f"SELECT * FROM {files} ORDER BY {', '.join(order)}")
            yield int(part.name.partition("=")[2]), rows.to_arrow_table()

    def _copy(self, frame: Frame, path: Path, options: str) -> None:
        self.connection.execute(f"COPY ({_sql(frame)}) TO '{_escaped(path)}' (FORMAT parquet, {options})")

    def arrow(self, frame: Frame) -> pa.Table:
        """See `Engine`."""
        return self.connection.sql(_sql(frame)).to_arrow_table()

    def row_hash(self, columns: Sequence[str]) -> Any:
        """See `Engine`."""
        return functions.expr(f"hash({', '.join(columns)})")

    def instant(self, micros: str) -> Any:
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
    connection.execute("SET TimeZone = 'UTC'")
    try:
        return connection.execute("SET memory_limit = ?", [memory_limit])
    except duckdb.Error as problem:
        raise ConfigError(
            f"features.memory_limit: '{memory_limit}' is not an amount of memory.", "Write it like 4GB or 512MB."
        ) from problem


def _sql(frame: Frame) -> str:
    return str(frame.sql(dialect="duckdb", optimize=False, pretty=False))


def _named(column: str) -> str:
    return column if column.isidentifier() else f"`{column}`"


def _escaped(path: Path | str) -> str:
    return str(path).replace("'", "''")
