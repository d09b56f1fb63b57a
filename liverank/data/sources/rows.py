"""What formats share that come as JSON objects: their lines decoded, rows collected for a table, values as text."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pyarrow as pa

from liverank.data.locations import Location
from liverank.data.sources.lines import LAST_SECOND, Aside, batches, first_line, first_lines, read_lines, text_of_lines
from liverank.data.sources.parts import Batch, Part
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Pairs = list[tuple[str, str]]
Row = dict[str, Any]
Table = str


class Rows:
    """Rows for one table of the contract, column by column, until they are taken as batches."""

    def __init__(self, table: Table, names: tuple[str, ...], file: str = "") -> None:
        self.table, self.names, self.file = table, names, file
        self._clear()

    def _clear(self) -> None:
        self.columns: list[list[Any]] = [[] for _ in self.names]
        self.lines: list[int] = []

    def add(self, line: int, *cells: Any) -> None:
        """One row, its cells in the order of the names; maps are lists of pairs."""
        for column, cell in zip(self.columns, cells, strict=True):
            column.append(cell)
        self.lines.append(line)

    def take(self) -> Iterator[Part]:
        """What was added since the last call; rows without a line of their own say line 0."""
        if not self.lines:
            return
        schema = ARROW_SCHEMAS[self.table]
        arrays = [
            pa.array(column, schema.field(name).type) for name, column in zip(self.names, self.columns, strict=True)
        ]
        rows, lines = pa.table(dict(zip(self.names, arrays, strict=True))), self.lines
        self._clear()
        if lines[0]:
            yield from batches(self.table, rows, self.file, lines)
        else:
            yield Batch(self.table, rows, self.file)


def objects(
    location: Location, aside: Aside, rows: int, kind: Any = dict[str, Any]
) -> Iterator[list[tuple[int, str, Any]]]:
    """The file's JSON lines as (line, text, object), at most `rows` at a time; other lines are set aside."""
    decoder = msgspec.json.Decoder(kind)
    for lines in read_lines(location, rows):
        found = []
        for number, text in zip(lines.numbers, lines.texts, strict=True):
            try:
                found.append((number, text, decoder.decode(text)))
            except (msgspec.DecodeError, UnicodeError) as problem:
                aside.put(number, text, f"is not a JSON object of this format: {problem}")
        yield found


def begins(location: Location, test: Callable[[Row], object]) -> bool:
    """Whether one of the file's first lines is a JSON object that passes the test."""
    for line in first_lines(location):
        try:
            found = msgspec.json.decode(line, type=dict[str, Any]) if line.startswith("{") else None
        except (msgspec.DecodeError, UnicodeError):
            continue
        if found is not None and test(found):
            return True
    return False


def csv_header(location: Location) -> list[str]:
    """The column names of a CSV file; empty where it has none or cannot be read."""
    try:
        return [name.strip() for name in next(csv.reader([first_line(location)]), [])]
    except csv.Error:
        return []


def csv_objects(location: Location, aside: Aside, rows: int) -> Iterator[list[tuple[int, str | Row, Row]]]:
    """The rows of a CSV file with a header, as `objects` gives them; values are text, also over several lines.

    Raises:
        DataError: a quote is never closed.
    """
    reader = csv.reader(f"{line}\n" for line in text_of_lines(location))
    names = [name.strip() for name in next(reader, [])]
    found: list[tuple[int, str | Row, Row]] = []
    try:
        line = reader.line_num
        for cells in reader:
            line, start = reader.line_num, line + 1
            if len(cells) == len(names):
                row = dict(zip(names, cells, strict=True))
                found.append((start, row, row))
            elif cells:
                aside.put(start, ",".join(cells), f"has {len(cells)} fields where the header has {len(names)}")
            if len(found) >= rows:
                yield found
                found = []
    except csv.Error as problem:
        raise DataError(
            f"{location.name}, line {line + 1}: {problem}.", "Look for a quote that is never closed."
        ) from problem
    yield found


def text_of(value: Any) -> str:
    """A JSON value as text: words as they are, lists with bars between, empty for null."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, list) and not any(isinstance(entry, dict | list) for entry in value):
        return "|".join(text_of(entry) for entry in value)
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)


def pairs_of(values: Mapping[str, Any], prefix: str = "") -> Pairs:
    """A JSON object as texts under their names, nested ones with dots; what is null or empty is left out."""
    found: Pairs = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += pairs_of(value, f"{prefix}{name}.")
        elif text := text_of(value):
            found.append((f"{prefix}{name}", text))
    return found


def instant_of(value: Any, unit: str = "s") -> datetime | None:
    """An instant from a number (or its text) of seconds or milliseconds, or an ISO time with a zone; else None."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return iso_instant(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    seconds = value / (1000 if unit == "ms" else 1)
    if not -62_135_596_800 <= seconds <= LAST_SECOND:
        return None
    micros = round(value * (1_000 if unit == "ms" else 1_000_000))
    return EPOCH + timedelta(microseconds=micros)


def iso_instant(text: str) -> datetime | None:
    """The instant of an ISO time with a zone; None for others."""
    try:
        at = datetime.fromisoformat(text.strip())
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None
