"""What formats share that are folders of several files: the files looked at, one among several, Parquet in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from liverank.config.data import SourceConfig
from liverank.data.locations import Location, is_url, locate
from liverank.data.sources.parts import BATCH_ROWS
from liverank.errors import DataError

MOST_LOOKED_AT: Final = 40
"""Files of a source whose beginning is looked at to tell its format."""


def files_of(config: SourceConfig) -> list[Location]:
    """The files of a source that are not empty; each knows the encoding that the configuration gives.

    Raises:
        DataError: there are none.
    """
    return [replace(file, encoding=config.encoding) for file in locate(config.source) if file.size]


def some_of(config: SourceConfig) -> list[Location]:
    """Enough of a source's files to tell its format by; none of a source that is no files at all.

    Raises:
        DataError: there are none.
    """
    source = config.source
    if is_url(source) and source.split("://", 1)[0].split("+")[0] in ("kafka", "postgresql", "mysql", "sqlite"):
        return []
    return files_of(config)[:MOST_LOOKED_AT]


def beside(file: Location, name: str) -> Location | None:
    """The file of that name in the same folder, compressed or not; None where there is none."""
    return file.sibling(name) or file.sibling(f"{name}.gz")


def one_of(files: Sequence[Location], what: str, source: str) -> Location:
    """The only file of several that may hold the same rows.

    Raises:
        DataError: there are several, so that reading them all would count everything twice.
    """
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise DataError(
            f"{source} holds {what} more than once ({names}), and reading all of them would count each twice.",
            f"Name one: data.source: {files[0]}",
        )
    return files[0]


@lru_cache(maxsize=256)
def parquet_columns(file: Location) -> frozenset[str]:
    """The names of a Parquet file's columns; none where it cannot be read as such."""
    if file.suffix != ".parquet":
        return frozenset()
    try:
        with file.open() as content:
            return frozenset(pq.read_schema(content).names)
    except (DataError, OSError, pa.ArrowException):
        return frozenset()


def parquet_batches(file: Location) -> Iterator[pa.Table]:
    """The rows of a Parquet file, at most `BATCH_ROWS` at a time.

    Raises:
        DataError: it is damaged.
    """
    try:
        with file.open() as content, pq.ParquetFile(content) as table:
            for batch in table.iter_batches(BATCH_ROWS):
                yield pa.Table.from_batches([batch])
    except (OSError, pa.ArrowException) as problem:
        raise DataError(
            f"{file} cannot be read as Parquet: {' '.join(str(problem).split())}.", "Check that the file is complete."
        ) from problem
