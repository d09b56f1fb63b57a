"""The header of a CSV file: the columns' names, what separates them, and where the rows begin."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from itertools import islice
from typing import Final

from liverank.data.encodings import blocks, text_lines
from liverank.data.locations import Location
from liverank.errors import DataError

SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE_LINES: Final = 50
"""Lines by which the separator is told."""
_SAID: Final = re.compile(r'"?sep=([,;\t|])"?')
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d|$)|1\d{9}(\d{3}|\d{6}|\d{9})?(\.\d+)?$")


@dataclass(frozen=True)
class Header:
    """The first row of a CSV file."""

    names: tuple[str, ...]
    separator: str
    lines: int
    """Lines up to its end."""


def csv_header(location: Location, encoding: str = "") -> Header:
    """The column names, and what separates them.

    Raises:
        DataError: the file cannot be read, a name stands twice, the first line is a row, or the separator cannot be
            told.
    """
    first = next(blocks(location, encoding, 1 << 16), b"")
    return header_of(first, location)


def header_of(block: bytes, location: Location) -> Header:
    """The header of a file whose first block of lines this is; errors as of `csv_header`."""
    above, said = _lines_above(block)
    text = text_lines(block[after_lines(block, above) :])
    separator = said or _separator(list(islice(text, SAMPLE_LINES)), location)
    text.seek(0)
    reader = csv.reader(text, delimiter=separator)
    cells = [name.strip() for name in next(reader, [])]
    _refuse_data(cells, separator, location, above + 1)
    names = [name or f"column {number}" for number, name in enumerate(cells, 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{location}, line {above + 1} has the column {twice[0]!r} more than once.",
            "Give each column its own name; where that line is a row, add a line of column names before it.",
        )
    return Header(tuple(names), separator, above + reader.line_num)


def _lines_above(block: bytes) -> tuple[int, str]:
    """Lines before the header: blank ones, and Excel's `sep=;`; and the separator that the latter says."""
    above, said = 0, ""
    for line in block[: 1 << 12].decode("utf-8", "replace").split("\n")[:-1]:
        told = _SAID.fullmatch(line)
        if line and not told:
            break
        above, said = above + 1, told[1] if told else said
    return above, said


def _refuse_data(cells: list[str], separator: str, location: Location, line: int) -> None:
    """A file without a header would lose its first row for one."""
    numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
    # Tools that know no names count the columns: 0, 1, 2, ...; a mapping can name these.
    counted = numbers == cells and [int(float(cell)) for cell in cells if len(cell) < 5] == list(range(len(cells)))
    moment = any(_MOMENT.match(cell) for cell in cells)
    if (moment or len(numbers) * 2 > len(cells)) and not counted:
        shown = separator.join(cells)[:80]
        raise DataError(
            f"{location}, line {line} looks like data and not like the names of columns: {shown}.",
            "Add a line with the columns' names before it, e.g. user_id,item_id,timestamp.",
        )


def _separator(lines: list[str], location: Location) -> str:
    """What separates the columns: the mark that gives the most lines the header's number of cells, then the most."""
    found = [mark for mark in SEPARATORS if lines and mark in lines[0]]
    if len(found) < 2:
        return found[0] if found else ","
    fit = {mark: _alike(lines, mark) for mark in found}
    fitting = [mark for mark in found if fit[mark] == max(fit.values())]
    wide = {mark: lines[0].count(mark) for mark in fitting}
    best = [mark for mark in fitting if wide[mark] == max(wide.values())]
    if len(best) == 1 or "," in best:
        return "," if "," in best else best[0]
    names = " or ".join(SEPARATORS[mark] for mark in best)
    first = lines[0].rstrip("\n")
    raise DataError(f"{location}, line 1: {names} could separate the columns: {first!r}.", "Save it with commas.")


def _alike(lines: list[str], mark: str) -> int:
    try:
        widths = [len(row) for row in csv.reader(lines, delimiter=mark) if row]
    except csv.Error:
        return 0
    return sum(width == widths[0] > 1 for width in widths[1:])


def after_lines(block: bytes, count: int) -> int:
    """Where the lines after the first `count` begin."""
    at = 0
    for _ in range(count):
        at = block.find(b"\n", at) + 1
    return at
