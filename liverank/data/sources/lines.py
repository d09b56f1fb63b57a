"""What formats share that come as lines of text: batches of lines with their numbers, and lines set aside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.dataset import REJECTED_SCHEMA
from liverank.data.encodings import Unended, blocks
from liverank.data.locations import Location
from liverank.data.sources.parts import BATCH_ROWS, Batch, Part, Refused
from liverank.data.values import INSTANT
from liverank.errors import DataError

FIRST_LINES: Final = 5
LONGEST_LINE: Final = 1 << 20
"""Bytes of a first line that are looked at."""
STRINGS: Final = pa.map_(pa.string(), pa.string())
LAST_SECOND: Final = 253_402_300_799
"""31 December of the year 9999, as seconds since 1970."""


@dataclass
class Lines:
    """Some lines of a file, decoded; blank ones are left out."""

    file: str
    numbers: list[int] = field(default_factory=list)
    """Line of each in the file, from 1."""
    texts: list[str] = field(default_factory=list)
    unended: bool = False
    """Whether the last of them is the file's last and has no line end: perhaps it is still being written."""


def read_lines(location: Location, rows: int = BATCH_ROWS) -> Iterator[Lines]:
    """The file's lines, at most `rows` at a time.

    Raises:
        DataError: the file is neither UTF-8 nor in the encoding that is set; the message says where.
    """
    unended: list[str] = []
    numbered = enumerate(text_of_lines(location, unended.append), 1)
    while block := list(islice(numbered, rows)):
        filled = [(number, text) for number, text in block if text and not text.isspace()]
        ends_open = any(not text.isspace() for text in unended)
        yield Lines(location.name, [number for number, _ in filled], [text for _, text in filled], ends_open)


def text_of_lines(location: Location, on_unended: Callable[[str], object] = lambda text: None) -> Iterator[str]:
    """Each line without its end; without the mark that a file may begin with.

    Args:
        location: the file.
        on_unended: called with the last line, before that comes, if it has no line end.
    """
    for block in blocks(location, location.encoding):
        texts = block.decode("utf-8").split("\n")[:-1]
        if isinstance(block, Unended):
            on_unended(texts[0])
        yield from texts


@lru_cache(maxsize=256)
def first_lines(location: Location) -> tuple[str, ...]:
    """Some lines that are not blank, so that a damaged one does not hide what a file is; none if it is unreadable."""
    try:
        if location.encoding:
            block = next(blocks(location, location.encoding, LONGEST_LINE), b"")
            found = block[:LONGEST_LINE].decode("utf-8", "replace").split("\n")
        else:
            with location.open() as content:
                # Of what is not UTF-8 the format can be told all the same; reading it says where it is not.
                found = [content.readline(LONGEST_LINE).decode("utf-8", "replace") for _ in range(2 * FIRST_LINES)]
    except (DataError, OSError, ValueError):
        return ()
    return tuple(filled for text in found if (filled := text.strip("\ufeff \r\n")))[:FIRST_LINES]


def first_line(location: Location) -> str:
    """The first line that is not blank; empty where there is none."""
    return next(iter(first_lines(location)), "")


@dataclass
class Aside:
    """Lines that a format cannot express, with the reason of each."""

    table: str
    file: str
    rows: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def put(self, line: int, row: str | dict[str, Any], reason: str) -> None:
        """Sets one line aside: its text, or its fields."""
        self.rows.append(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False, default=str))
        self.reasons.append(reason)
        self.lines.append(line)

    def take(self) -> Iterator[Refused]:
        """What was set aside since the last call."""
        if self.rows:
            columns = {
                "table": [self.table] * len(self.rows),
                "row": self.rows,
                "reason": self.reasons,
                c.ORIGIN: pa.nulls(len(self.rows), pa.string()),
                "file": [self.file] * len(self.rows),
                "line": self.lines,
            }
            yield Refused(pa.table(columns, schema=REJECTED_SCHEMA))
            self.rows, self.reasons, self.lines = [], [], []


def split(lines: Lines, separator: str, width: int, table: str, reason: str) -> tuple[list[pa.Array], Lines, Aside]:
    """Fields of lines that have exactly `width` of them: the columns, the lines they are from, and the others."""
    cells = pc.split_pattern(pa.array(lines.texts, pa.string()), separator)
    good = pc.equal(pc.list_value_length(cells), width).to_numpy(zero_copy_only=False).astype(bool)
    aside = Aside(table, lines.file)
    for at in np.flatnonzero(~good):
        aside.put(lines.numbers[at], lines.texts[at], reason)
    kept = cells.filter(pa.array(good))
    columns = [pc.list_element(kept, at) for at in range(width)] if len(kept) else [pa.array([], pa.string())] * width
    return columns, _chosen(lines, good), aside


def keep(
    lines: Lines, columns: Sequence[pa.Array], good: Any, reason: str, aside: Aside
) -> tuple[list[pa.Array], Lines]:
    """The rows where `good` (an Arrow or NumPy mask, null as False) holds; the others are set aside."""
    mask = np.asarray(pc.fill_null(pa.array(good), False)).astype(bool)
    if mask.all():
        return list(columns), lines
    for at in np.flatnonzero(~mask):
        aside.put(lines.numbers[at], lines.texts[at], reason)
    return [column.filter(pa.array(mask)) for column in columns], _chosen(lines, mask)


def _chosen(lines: Lines, mask: Any) -> Lines:
    if mask.all():
        return lines
    chosen = np.flatnonzero(mask)
    return Lines(lines.file, [lines.numbers[at] for at in chosen], [lines.texts[at] for at in chosen])


def batches(table: str, rows: pa.Table, file: str, lines: Sequence[int]) -> Iterator[Part]:
    """Rows as a batch that knows the line of each; nothing where there are none."""
    if rows.num_rows:
        yield Batch(table, rows, file, lines=pa.array(lines, pa.int64()))


def instants(numbers: pa.Array, unit: str = "s") -> pa.Array:
    """UTC instants of seconds (`s`) or milliseconds (`ms`) since 1970, as numbers or text; null where there is none."""
    scale = 1_000_000 if unit == "s" else 1_000
    if pa.types.is_string(numbers.type):
        text = pc.utf8_trim_whitespace(numbers)
        good = pc.match_substring_regex(text, r"^-?\d{1,16}(\.\d+)?$")
        numbers = pc.if_else(good, text, pa.scalar(None, pa.string())).cast(pa.float64())
    seconds = numbers.cast(pa.float64())
    inside = pc.less_equal(pc.abs(seconds), float(LAST_SECOND if unit == "s" else LAST_SECOND * 1000))
    micros = pc.round(pc.multiply(pc.if_else(inside, seconds, pa.scalar(None, pa.float64())), float(scale)))
    return micros.cast(pa.int64()).cast(INSTANT)


def maps_of(name: str, texts: pa.Array) -> pa.Array:
    """One map `{name: text}` a row, empty where the text is null; equal texts share their map."""
    codes = texts.dictionary_encode()
    known = [[] if text is None else [(name, text)] for text in codes.dictionary.to_pylist()]
    none = len(known)
    return pa.array([*known, []], STRINGS).take(pc.fill_null(codes.indices, none))
