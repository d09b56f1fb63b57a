"""Reads CSV block by block; every row knows its line, and what is no row is kept with its line and reason."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.csv

from liverank.data.csv_headers import Header, after_lines, header_of
from liverank.data.encodings import CutOff, blocks, text_lines
from liverank.data.locations import Location
from liverank.data.raw import RawBatch, broken
from liverank.data.sources.parts import BATCH_ROWS


def read_csv(location: Location, encoding: str = "") -> Iterator[RawBatch]:
    """The rows after the header, as text, empty cells as null.

    Raises:
        DataError: see `csv_header`; the message of a wrong encoding names line and column.
    """
    ends: list[bytes] = []
    source = _whole(blocks(location, encoding), ends)
    block = next(source, b"")
    header = header_of(block, location)
    at = after_lines(block, header.lines)
    block, line = block[at:], header.lines + 1
    for part in chain([block], source):
        # Without a quote every line is a row, which is ten times faster than looking at every letter.
        if b'"' in part:
            counted = _Counted(chain([part], source))
            yield from _quoted(counted, header, location, line)
            line += counted.lines
            break
        if part:
            yield _plain(part, header, location, line)
            line += part.count(b"\n")
    if ends:
        cut = [(line, ends[0].decode("utf-8").rstrip("\n"), "is cut off within a letter")]
        yield RawBatch(_parsed(b"", header), pa.array([], pa.int64()), broken(str(location), cut))


def _whole(source: Iterable[bytes], ends: list[bytes]) -> Iterator[bytes]:
    """The blocks; a last line that is cut off within a letter goes to `ends`."""
    for block in source:
        if isinstance(block, CutOff):
            ends.append(block)
        else:
            yield block


class _Counted:
    """Blocks, and the lines in those that were taken."""

    def __init__(self, source: Iterable[bytes]) -> None:
        self._source, self.lines = source, 0

    def __iter__(self) -> Iterator[bytes]:
        for block in self._source:
            self.lines += block.count(b"\n")
            yield block


def _plain(block: bytes, header: Header, location: Location, line: int) -> RawBatch:
    """A block without quotes: rows are lines."""
    letters = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    marks = np.flatnonzero(letters == ord(header.separator))
    fields = np.diff(np.searchsorted(marks, ends), prepend=0) + 1
    starts = np.concatenate([[0], ends[:-1] + 1])
    filled = ends > starts
    good = filled & (fields == len(header.names))
    ragged = np.flatnonzero(filled & ~good)
    found = [
        (line + int(at), block[starts[at] : ends[at]].decode("utf-8"), _ragged(int(fields[at]), header))
        for at in ragged
    ]
    if not good.all():
        block = b"".join(block[starts[at] : ends[at] + 1] for at in np.flatnonzero(good))
    lines = pa.array(np.flatnonzero(good) + line, pa.int64())
    return RawBatch(_parsed(block, header), lines, broken(str(location), found))


def _parsed(block: bytes, header: Header) -> pa.Table:
    names = list(header.names)
    if not block:
        return pa.table({name: pa.array([], pa.string()) for name in names})
    return pyarrow.csv.read_csv(
        pa.BufferReader(block),
        read_options=pyarrow.csv.ReadOptions(column_names=names),
        parse_options=pyarrow.csv.ParseOptions(delimiter=header.separator, quote_char=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, strings_can_be_null=True, null_values=[""]
        ),
    )


def _ragged(fields: int, header: Header) -> str:
    return f"has {fields} fields where the header has {len(header.names)}"


class _Lines:
    """Lines that can be put back, with those that the current row has taken."""

    def __init__(self, lines: Iterable[str], number: int) -> None:
        self._lines, self._back = iter(lines), list[str]()
        self.taken: list[str] = []
        self.number = number
        """Of the first line of the current row."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.pop() if self._back else next(self._lines)
        self.taken.append(line)
        return line

    def done(self) -> None:
        """The current row is complete."""
        self.number += len(self.taken)
        self.taken = []

    def give_up_first(self) -> str:
        """The first line of the current row is none; the others are read anew."""
        first, *others = self.taken
        self._back += reversed(others)
        self.taken, self.number = [], self.number + 1
        return first


def _quoted(source: Iterable[bytes], header: Header, location: Location, line: int) -> Iterator[RawBatch]:
    """Rows whose cells may be quoted and hold line ends."""
    lines = _Lines((text for block in source for text in text_lines(block)), line)
    rows: list[list[str]] = []
    numbers: list[int] = []
    found: list[tuple[int, str, str]] = []
    for row in _rows(lines, header, found):
        rows.append(row)
        numbers.append(lines.number)
        if len(rows) + len(found) >= BATCH_ROWS:
            yield _batch(rows, numbers, found, header, location)
            rows, numbers = [], []
            found.clear()
    yield _batch(rows, numbers, found, header, location)


def _rows(lines: _Lines, header: Header, found: list[tuple[int, str, str]]) -> Iterator[list[str]]:
    reader = csv.reader(lines, delimiter=header.separator, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as problem:
            reason = f"its quotes do not close: {problem}"
            found.append((lines.number, lines.taken[0].rstrip("\n"), reason))
            lines.give_up_first()
            reader = csv.reader(lines, delimiter=header.separator, strict=True)
            continue
        if row is None:
            return
        if len(row) == len(header.names):
            yield row
        elif row:
            found.append((lines.number, "".join(lines.taken).rstrip("\n"), _ragged(len(row), header)))
        lines.done()


def _batch(
    rows: list[list[str]], numbers: list[int], found: list[tuple[int, str, str]], header: Header, location: Location
) -> RawBatch:
    cells = zip(*rows, strict=True) if rows else [()] * len(header.names)
    columns = [pa.array([cell or None for cell in column], pa.string()) for column in cells]
    table = pa.table(columns, names=list(header.names))
    return RawBatch(table, pa.array(numbers, pa.int64()), broken(str(location), found))
