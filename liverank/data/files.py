"""The contract's files, Parquet, JSON lines and CSV: their raw rows batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from liverank.data.csv_headers import csv_header
from liverank.data.csv_rows import read_csv
from liverank.data.dataset import REJECTED_FILE, SOURCE_FILE
from liverank.data.json_rows import read_json_lines
from liverank.data.location_stream import unreadable
from liverank.data.locations import Location, locate, told, without_secrets
from liverank.data.raw import RawBatch
from liverank.data.sources.parts import BATCH_ROWS
from liverank.errors import DataError

SUFFIXES: Final = (".parquet", ".jsonl", ".ndjson", ".csv", ".tsv")
FORMATS: Final = "Parquet (.parquet), JSON lines (.jsonl) and CSV (.csv, .tsv), the last two also as .gz"
# Files that the steps themselves leave beside the tables.
OWN_FILES: Final = (SOURCE_FILE, REJECTED_FILE, "result.json")


def data_files(source: str) -> tuple[list[Location], list[Location]]:
    """The data files that `source` (a file, folder, glob or URL) means, sorted, and the files there that are none.

    Raises:
        DataError: nothing is there, or nothing that is a data file.
    """
    found = [file for file in locate(source) if file.name not in OWN_FILES]
    data = [file for file in found if file.suffix in SUFFIXES]
    others = [file for file in found if file.suffix not in SUFFIXES]
    if not data:
        names = ", ".join(file.name for file in others[:5]) or "no other"
        raise DataError(f"{without_secrets(source)} holds no data file, only {names}.", f"Readable are {FORMATS}.")
    return data, others


def read_raw(file: Location, encoding: str = "", ids: Sequence[str] = ()) -> Iterator[RawBatch]:
    """The rows of a data file, at most `BATCH_ROWS` at a time or a block of some megabytes.

    Args:
        file: the data file.
        encoding: of its text; empty: UTF-8.
        ids: fields of JSON lines that hold ids, see `read_json_lines`.

    Raises:
        DataError: the file is empty, damaged or cut off, has a column twice or is in another encoding.
    """
    if not file.size:
        raise DataError(f"{file} is empty (0 bytes).", f"Expected rows as {FORMATS}.")
    if file.suffix == ".parquet":
        yield from _read_parquet(file)
    elif file.suffix in (".csv", ".tsv"):
        yield from read_csv(file, encoding)
    else:
        yield from read_json_lines(file, encoding, ids)


def header(file: Location, encoding: str = "") -> list[str]:
    """The column names of a CSV or Parquet file; of JSON lines, none: each line has its own.

    Raises:
        DataError: the file cannot be read.
    """
    if not file.size:
        return []
    if file.suffix == ".parquet":
        return list(_parquet(file).schema_arrow.names)
    return list(csv_header(file, encoding).names) if file.suffix in (".csv", ".tsv") else []


def _parquet(file: Location) -> pq.ParquetFile:
    if file.is_gzip:
        raise DataError(f"{file} is Parquet within gzip.", "Decompress it: gunzip; Parquet is compressed by itself.")
    try:
        # Arrow reads a local file by itself, without Python in between.
        return pq.ParquetFile(file.path or file.open())
    except (OSError, pa.ArrowException) as problem:
        raise _damaged(file, problem) from problem


def _read_parquet(file: Location) -> Iterator[RawBatch]:
    with _parquet(file) as opened:
        names = opened.schema_arrow.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{file} has the column {twice[0]!r} more than once.", "Give each column its own name.")
        batches, first = opened.iter_batches(batch_size=BATCH_ROWS), 1
        while True:
            try:
                batch = next(batches, None)
            except (OSError, pa.ArrowException) as problem:
                raise _damaged(file, problem) from problem
            if batch is None:
                return
            numbers = pa.array(np.arange(first, first + batch.num_rows))
            yield RawBatch(_without_views(pa.Table.from_batches([batch])), numbers)
            first += batch.num_rows


def _without_views(rows: pa.Table) -> pa.Table:
    """Texts that are views as plain ones: much of Arrow cannot compute with views yet."""
    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    fields = [field.with_type(plain.get(field.type, field.type)) for field in rows.schema]
    return rows.cast(pa.schema(fields)) if any(field.type in plain for field in rows.schema) else rows


def _damaged(file: Location, problem: Exception) -> DataError:
    if isinstance(problem, FileNotFoundError | PermissionError):
        return unreadable(problem, str(file))
    return DataError(
        f"{file} cannot be read as Parquet: {told(problem)}.",
        "Check that the file is complete (a Parquet file that was cut off has lost its end) and is Parquet.",
    )
