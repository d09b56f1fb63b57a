"""How a dataset folder comes to be: tables in row groups of one size, a hash of the rows alone, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c

ROW_GROUP: Final = 122_880
"""Rows a row group has, but for the last: the bytes of a file depend on its rows and not on how they arrived."""
PARTIAL: Final = ".partial"
"""Where a folder's files grow until they are whole."""


class TableWriter:
    """Writes a table that arrives in pieces; nothing but its rows and their order shows in the file.

    Args:
        path: of the file.
        schema: its columns.
        final: whether the file is to stay; one that is read once and deleted is written faster.
    """

    def __init__(self, path: Path, schema: pa.Schema, final: bool = True) -> None:
        self.schema = schema
        self.rows = 0
        self._file = pa.OSFile(str(path), "wb")
        form = {"compression": "zstd" if final else "lz4", "use_dictionary": final}
        self._writer = pq.ParquetWriter(self._file, schema, **form)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0

    def write(self, rows: pa.Table) -> None:
        """Adds rows, in columns that the schema's can be cast from."""
        rows = rows.cast(self.schema)
        self.rows += rows.num_rows
        self._waiting.append(rows)
        self._waiting_rows += rows.num_rows
        if self._waiting_rows >= ROW_GROUP:
            self._flush(whole=True)

    def _flush(self, whole: bool) -> None:
        waiting = pa.concat_tables(self._waiting)
        start = 0
        while waiting.num_rows - start >= (ROW_GROUP if whole else 1):
            # Chunks would show in the file's pages.
            self._writer.write_table(waiting.slice(start, ROW_GROUP).combine_chunks())
            start += ROW_GROUP
        self._waiting = [waiting.slice(start)]
        self._waiting_rows = max(0, waiting.num_rows - start)

    def close(self) -> None:
        """Writes what is left and the file's end."""
        if self._waiting_rows:
            self._flush(whole=False)
        self._waiting = []
        if self._writer.is_open:
            self._writer.close()
            self._file.close()

    def abandon(self) -> None:
        """Leaves the file as it is, unfinished, and lets go of it."""
        # Else the writer would try to finish it when it is collected, and complain on standard error.
        self._writer.is_open = False
        with suppress(OSError):
            self._file.close()

    def __enter__(self) -> TableWriter:
        """The writer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


def content_hash(folder: Path, tables: list[str], rejected: str) -> str:
    """A hash of the rows in a dataset folder: of the Parquet pages of all columns that come from the rows themselves.

    Where a row came from (its origin, file and line) does not count, so that a file may be moved, or split in two.
    """
    digest = hashlib.sha256()
    for name in (*tables, rejected):
        places = (c.ORIGIN, "file", "line") if name == rejected else (c.ORIGIN,)
        digest.update(name.encode())
        path = folder / f"{name}.parquet"
        with path.open("rb") as file:
            for page in _pages(file, pq.read_metadata(path), places):
                digest.update(page)
    return digest.hexdigest()


def _pages(file: BinaryIO, facts: pq.FileMetaData, without: tuple[str, ...]) -> Iterator[bytes]:
    for group in range(facts.num_row_groups):
        for at in range(facts.num_columns):
            column = facts.row_group(group).column(at)
            if column.path_in_schema in without:
                continue
            file.seek(min(filter(None, (column.dictionary_page_offset, column.data_page_offset))))
            yield file.read(column.total_compressed_size)


@contextmanager
def growing(out: Path, last: str) -> Iterator[Path]:
    """A folder within `out` to write in; its files become those of `out` once all are there, `last` after the others.

    Until then `out` keeps what it has; a run that was killed leaves nothing in it that looks like a result.
    """
    partial = out / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        (out / last).unlink(missing_ok=True)
        for file in sorted(partial.iterdir(), key=lambda file: file.name == last):
            if file.is_file():
                file.replace(out / file.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
