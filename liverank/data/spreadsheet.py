"""The first sheet of an Excel workbook (.xlsx) as CSV, row by row: what some publishers pack their tables into."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Final
from xml.etree import ElementTree

from liverank.errors import DataError

SHEET: Final = "xl/worksheets/sheet1.xml"
STRINGS: Final = "xl/sharedStrings.xml"
STYLES: Final = "xl/styles.xml"
DATE_FORMATS: Final = {*range(14, 23), *range(45, 48)}
"""Numbers of the built-in formats that show a number as a time."""
FIRST_DAY: Final = datetime(1899, 12, 30)
"""Day 0 of Excel's calendar, from March 1900 on."""


def to_csv(book: Path, out: Path) -> int:
    """Writes the first sheet as CSV in UTF-8 and returns its rows; times become ISO times without a zone.

    Raises:
        DataError: the file is no workbook, or damaged.
    """
    try:
        with zipfile.ZipFile(book) as content, out.open("w", encoding="utf-8", newline="") as file:
            strings, dates = _strings(content), _date_styles(content)
            writer, count, width = csv.writer(file), 0, 0
            with content.open(SHEET) as sheet:
                for row in _rows(sheet, strings, dates):
                    width = max(width, len(row)) if not count else width
                    writer.writerow(row + [""] * (width - len(row)))
                    count += 1
        return count
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError, EOFError, ElementTree.ParseError) as problem:
        out.unlink(missing_ok=True)
        raise DataError(f"{book} is no whole Excel workbook: {problem}.", "Remove it and fetch it again.") from problem


def _strings(content: zipfile.ZipFile) -> list[str]:
    """The texts that cells refer to by number; a text may be in pieces of different looks."""
    if STRINGS not in content.namelist():
        return []
    found = []
    with content.open(STRINGS) as file:
        for _, element in ElementTree.iterparse(file):
            if _tag(element) == "si":
                found.append(_text(element))
                element.clear()
    return found


def _date_styles(content: zipfile.ZipFile) -> set[int]:
    """The styles of cells whose number is a time."""
    if STYLES not in content.namelist():
        return set()
    root = ElementTree.fromstring(content.read(STYLES))
    own = {
        int(element.get("numFmtId", "0"))
        for element in root.iter()
        if _tag(element) == "numFmt" and _shows_time(element.get("formatCode", ""))
    }
    used = [element for group in root if _tag(group) == "cellXfs" for element in group]
    return {at for at, element in enumerate(used) if int(element.get("numFmtId", "0")) in DATE_FORMATS | own}


def _shows_time(code: str) -> bool:
    return bool(re.search(r"[ymdhs]", re.sub(r'"[^"]*"|\[[^\]]*\]|\\.', "", code.lower())))


def _rows(sheet: IO[bytes], strings: list[str], dates: set[int]) -> Iterator[list[str]]:
    for _, element in ElementTree.iterparse(sheet):
        if _tag(element) != "row":
            continue
        row: list[str] = []
        for cell in element:
            # Empty cells are left out: the reference says which column this one is in.
            at = _column(cell.get("r", "")) if cell.get("r") else len(row)
            row += [""] * (at - len(row))
            row.append(_value(cell, strings, dates))
        yield row
        element.clear()


def _column(reference: str) -> int:
    """0 of `A7`, 26 of `AA7`."""
    number = 0
    for letter in reference.rstrip("0123456789"):
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _value(cell: ElementTree.Element, strings: list[str], dates: set[int]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return _text(cell)
    text = next((child.text or "" for child in cell if _tag(child) == "v"), "")
    if kind == "s":
        return strings[int(text)]
    if kind != "n" or not text:
        return text
    if int(cell.get("s", "0")) in dates:
        return (FIRST_DAY + timedelta(seconds=round(float(text) * 86_400))).isoformat(" ")
    number = float(text)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _text(element: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in element.iter() if _tag(part) == "t")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rsplit("}", 1)[-1]
