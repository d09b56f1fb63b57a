"""Spark as the engine: the definitions run as native PySpark, on any master that `features.spark_master` names."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa

from liverank.config.features import FeatureConfig
from liverank.errors import ConfigError
from liverank.features.engine import Frame


class SparkEngine:
    """Frames are Spark's own. Working files are written by the workers, so on a cluster the folder must be shared."""

    def __init__(self, session: Any, folder: Path) -> None:
        from pyspark.sql import Window, functions

        self.session, self.folder = session, folder
        self.name = f"spark {session.version}"
        self.functions: Any = functions
        self.window: Any = Window

    def scan(self, paths: Path | str | Sequence[Path]) -> Frame:
        """See `Engine`."""
        files = [paths] if isinstance(paths, Path | str) else paths
        return self.session.read.parquet(*map(_address, files))

    def rows(self, table: pa.Table) -> Frame:
        """See `Engine`."""
        return self.session.createDataFrame(table)

    def kept(self, frame: Frame, name: str) -> Frame:
        """See `Engine`."""
        path = self.folder / f"{name}.parquet"
        frame.write.mode("overwrite").parquet(_address(path))
        return self.session.read.schema(frame.schema).parquet(_address(path))

    def staged(self, frame: Frame) -> Frame:
        """See `Engine`."""
        return frame

    def union(self, *frames: Frame) -> Frame:
        """See `Engine`."""
        return reduce(lambda one, other: one.unionByName(other), frames)

    def groups(self, frame: Frame, column: str, order: Sequence[str], name: str) -> Iterator[tuple[int, pa.Table]]:
        """See `Engine`."""
        folder = self.folder / name
        frame.repartition(column).write.mode("overwrite").partitionBy(column).parquet(_address(folder))
        for part in sorted(folder.glob(f"{column}=*")):
            yield int(part.name.partition("=")[2]), self.scan(part).orderBy(*order).toArrow()

    def arrow(self, frame: Frame) -> pa.Table:
        """See `Engine`."""
        return frame.toArrow()

    def row_hash(self, columns: Sequence[str]) -> Any:
        """See `Engine`."""
        # Summed in decimals: two rows can have hashes whose sum a bigint does not hold.
        return self.functions.xxhash64(*columns).cast("decimal(38,0)")

    def instant(self, micros: str | int) -> Any:
        """See `Engine`."""
        of = micros if isinstance(micros, str) else self.functions.lit(micros)
        return self.functions.timestamp_micros(of)


@contextmanager
def open_spark(config: FeatureConfig, spill: Path) -> Iterator[SparkEngine]:
    """A Spark session in UTC with its working files in `spill`; a session that is open already is used and left open.

    Raises:
        ConfigError: pyspark or Java is missing, or the master cannot be reached.
    """
    session, owned = _session(config)
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir()
    try:
        yield SparkEngine(session, spill)
    finally:
        if owned:
            session.stop()
        shutil.rmtree(spill, ignore_errors=True)


def _session(config: FeatureConfig) -> tuple[Any, bool]:
    try:
        from pyspark.sql import SparkSession
    except ImportError as problem:
        raise ConfigError(
            "features.engine is spark, but pyspark is not installed.", "pip install 'liverank[spark]', or use duckdb."
        ) from problem
    running = SparkSession.getActiveSession()
    if running is None:
        return new_session(config), True
    running.conf.set("spark.sql.session.timeZone", "UTC")
    return running, False


def new_session(config: FeatureConfig) -> Any:
    """Starts Spark with what the features need.

    Raises:
        ConfigError: there is no Java, or the master cannot be reached.
    """
    from pyspark.sql import SparkSession

    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise ConfigError(
            "features.engine is spark, but there is no Java.", "Install Java 17 (or set JAVA_HOME), or use duckdb."
        )
    builder = SparkSession.builder.appName("liverank features")
    for name, value in {**_SETTINGS, "spark.driver.memory": _java_memory(config.memory_limit)}.items():
        builder = builder.config(name, value)
    if config.spark_master:
        builder = builder.master(config.spark_master)
    try:
        return builder.getOrCreate()
    except Exception as problem:  # py4j and Java errors have no common type
        line = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        raise ConfigError(f"Spark does not start ({line}).", "Check features.spark_master and Java.") from problem


def _java_memory(limit: str) -> str:
    """4GB as Java writes it: 4g."""
    found = re.fullmatch(r"(\d+)\s*([kKmMgGtT])i?[bB]", limit.strip())
    if not found:
        raise ConfigError(
            f"features.memory_limit: '{limit}' is not an amount of memory.", "Write it like 4GB or 512MB."
        )
    return found[1] + found[2].lower()


_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def _address(path: Path | str) -> str:
    """A URL as it is; a local path as one, so that a cluster's default file system does not catch it."""
    return path if isinstance(path, str) else f"file://{path.resolve()}"
