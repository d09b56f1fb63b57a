"""The engine of the features: one small protocol, DuckDB on one machine and Spark on many behind it.

The definitions are written once, in the PySpark DataFrame API. `F` and `Window` here are those of the open engine:
Spark's own on Spark, SQLFrame's (the same API as SQL for DuckDB) otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from liverank import columns as c
from liverank.config.features import FeatureConfig

Frame = Any
"""A PySpark or SQLFrame DataFrame; neither package has types that mypy can follow."""

SPILL_FOLDER = ".spill"


class Engine(Protocol):
    """What the definitions leave to the engine: reading, computing, and the few words that differ."""

    name: str
    """`duckdb` or `spark`, with the version: what one computed is not mixed with what the other did."""
    functions: Any
    window: Any

    def scan(self, paths: Path | str | Sequence[Path]) -> Frame:
        """Parquet files (of one schema; a path or URL that the engine can reach) as a frame; nothing is read yet."""

    def rows(self, table: pa.Table) -> Frame:
        """A small Arrow table as a frame."""

    def kept(self, frame: Frame, name: str) -> Frame:
        """Computes a frame that is used several times, once, into a working file of this name."""

    def staged(self, frame: Frame) -> Frame:
        """The same frame to go on from; nothing is computed, but a long chain of steps is cheaper in stages."""

    def union(self, *frames: Frame) -> Frame:
        """The rows of all frames, columns matched by name."""

    def groups(self, frame: Frame, column: str, order: Sequence[str], name: str) -> Iterator[tuple[int, pa.Table]]:
        """Each value of the whole-numbered `column` of a frame with its rows, sorted by `order`.

        The column itself is left out. Only one value's rows are in memory at a time; `name` is for working files. It is
        computed when the first is taken, which another thread may do while the engine computes other things.
        """

    def arrow(self, frame: Frame) -> pa.Table:
        """Computes a frame into memory, in its order."""

    def row_hash(self, columns: Sequence[str]) -> Any:
        """A column with a whole number a row that tells different rows apart; values of an engine's own."""

    def instant(self, micros: str | int) -> Any:
        """Whole microseconds since 1970, a column or one number, as a timestamp in UTC.

        A timestamp that is compared with a number made one lets the engine pass over what a file's statistics rule out.
        """


_ACTIVE: ContextVar[Engine] = ContextVar("engine")


class _OfTheOpenEngine:
    def __init__(self, part: str) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_ACTIVE.get(), self._part), name)


F: Any = _OfTheOpenEngine("functions")
"""`pyspark.sql.functions` of the open engine."""
Window: Any = _OfTheOpenEngine("window")
"""`pyspark.sql.Window` of the open engine."""


def staged(frame: Frame) -> Frame:
    """See `Engine.staged`, of the open engine."""
    return _ACTIVE.get().staged(frame)


def union(*frames: Frame) -> Frame:
    """See `Engine.union`, of the open engine."""
    return _ACTIVE.get().union(*frames)


def between(frame: Frame, first: int, last: int | None = None) -> Frame:
    """The rows with a timestamp from `first` to `last`, both included, in microseconds; without a last one all later.

    Of files in the order of time only those rows are read.
    """
    at, instant = F.col(c.TIMESTAMP), _ACTIVE.get().instant
    after = frame.where(at >= instant(first))
    return after if last is None else after.where(at <= instant(last))


@contextmanager
def open_engine(config: FeatureConfig, folder: Path) -> Iterator[Engine]:
    """The configured engine; its working files live in `folder/.spill` and go away with it.

    Args:
        config: engine, Spark master and memory limit.
        folder: an existing folder on a disk with room (on a cluster: one that the workers share).

    Raises:
        ConfigError: the engine cannot be had with these settings.
    """
    with _opened(config, folder / SPILL_FOLDER) as engine:
        token = _ACTIVE.set(engine)
        try:
            yield engine
        finally:
            _ACTIVE.reset(token)


def _opened(config: FeatureConfig, spill: Path) -> AbstractContextManager[Engine]:
    if config.engine == "spark":
        from liverank.features.spark_engine import open_spark

        return open_spark(config, spill)
    from liverank.features.duckdb_engine import open_duckdb

    return open_duckdb(config, spill)
