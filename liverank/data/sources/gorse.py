"""Reads what Gorse exports: users, items and feedback as JSON lines or CSV, and its binary dump."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from liverank import columns as c
from liverank.config.data import SourceConfig
from liverank.data.locations import Location
from liverank.data.sources.folder import files_of, some_of
from liverank.data.sources.gorse_dump import NotADump, is_dump, read_dump
from liverank.data.sources.latest import item_fields
from liverank.data.sources.lines import Aside
from liverank.data.sources.parts import BATCH_ROWS, Format, Note, Part, Parts
from liverank.data.sources.rows import (
    Pairs,
    Row,
    Rows,
    begins,
    csv_header,
    csv_objects,
    iso_instant,
    objects,
    pairs_of,
    text_of,
)
from liverank.errors import DataError

COLUMNS: Final = {
    "items": (c.ITEM_ID, c.TITLE, c.TEXT, c.CATEGORY, c.ATTRIBUTES, c.AVAILABLE_FROM),
    "users": (c.USER_ID, c.ATTRIBUTES),
    "interactions": (c.USER_ID, c.ITEM_ID, c.TYPE, c.TIMESTAMP, c.VALUE, c.CONTEXT),
}
NAMES: Final = {
    "feedback_type": "FeedbackType", "user_id": "UserId", "item_id": "ItemId", "time_stamp": "Timestamp",
    "timestamp": "Timestamp", "is_hidden": "IsHidden", "categories": "Categories", "labels": "Labels",
    "description": "Comment", "comment": "Comment", "value": "Value",
}  # fmt: skip
"""Column of the CSV export -> field of the JSON export."""
NO_TIME: Final = 1
"""The year of Go's zero time, which Gorse writes where an item has none."""
LONGEST_TITLE: Final = 200
GO_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) ([+-]\d{4}) ?\w*")


class Refusal(ValueError):
    """Why a row is no record of the contract."""


def recognises(config: SourceConfig) -> bool:
    """Whether the source holds Gorse's feedback, or a dump of it."""
    return any(_kind(file) == "interactions" or is_dump(file) for file in some_of(config))


def _kind(file: Location) -> str:
    """The table that a file's rows belong to; empty where they are none of Gorse's."""
    if file.name.lower().removesuffix(".gz").endswith(".csv"):
        return _table({NAMES.get(name.lower(), name) for name in csv_header(file)})
    found: list[str] = []
    begins(file, lambda row: found.append(table) if (table := _table(set(row))) else None)
    return found[0] if found else ""


def _table(names: set[str]) -> str:
    """The table that rows with these fields belong to; empty where they are none of Gorse's."""
    if {"FeedbackType", "UserId", "ItemId"} <= names:
        return "interactions"
    if "ItemId" in names and names & {"IsHidden", "Categories", "Labels", "Comment"}:
        return "items"
    return "users" if "UserId" in names and "Labels" in names else ""


def read(config: SourceConfig) -> Parts:
    """Feedback as events of its own types, items (comment as title), users.

    Raises:
        DataError: there is no feedback, or a dump is damaged.
    """
    files = files_of(config)
    tables = {str(file): _kind(file) for file in files}
    dumps = [file for file in files if not tables[str(file)] and is_dump(file)]
    if not dumps and "interactions" not in tables.values():
        raise DataError(f"{config.source} holds no feedback of Gorse.", "Export feedback.jsonl from Gorse.")
    rest = [file.name for file in files if not tables[str(file)] and file not in dumps]
    if rest:
        yield Note(f"Not read, for they are no export of Gorse: {', '.join(rest)}.")
    yield Note("Gorse has one comment an item: it becomes the title, or the text where it is long.")
    for file in files:
        if tables[str(file)]:
            yield from _file(file, tables[str(file)])
    for file in dumps:
        yield from _dump(file)


def _file(file: Location, table: str) -> Iterator[Part]:
    rows, aside = Rows(table, COLUMNS[table], file.name), Aside(table, file.name)
    tabular = ".csv" in file.name.lower()
    for found in csv_objects(file, aside, BATCH_ROWS) if tabular else objects(file, aside, BATCH_ROWS):
        for line, text, row in found:
            try:
                rows.add(line, *_cells(table, _typed(row) if tabular else row))
            except Refusal as problem:
                aside.put(line, text, str(problem))
        yield from aside.take()
        yield from rows.take()


def _typed(cells: Row) -> Row:
    """A CSV row as JSON has it: its names, categories and labels, flag and value."""
    row = {NAMES.get(name.lower(), name): cell for name, cell in cells.items()}
    if "Categories" in row:
        row["Categories"] = [part for part in row["Categories"].split("|") if part]
    if "IsHidden" in row:
        row["IsHidden"] = row["IsHidden"].lower() in ("true", "1")
    if "Labels" in row:
        try:
            row["Labels"] = json.loads(row["Labels"]) if row["Labels"] else None
        except ValueError:
            row["Labels"] = row["Labels"].split("|")
    return row


def _dump(file: Location) -> Iterator[Part]:
    rows = {table: Rows(table, names, file.name) for table, names in COLUMNS.items()}
    asides = {table: Aside(table, file.name) for table in COLUMNS}
    try:
        for count, (table, row) in enumerate(read_dump(file), 1):
            try:
                rows[table].add(0, *_cells(table, row))
            except Refusal as problem:
                asides[table].put(count, json.dumps(row, default=str), str(problem))
            if count % BATCH_ROWS == 0:
                yield from _taken(rows, asides)
    except (NotADump, ValueError) as problem:
        raise DataError(f"{file.name} is a damaged dump of Gorse: {problem}.", "Dump it again.") from problem
    yield from _taken(rows, asides)


def _taken(rows: dict[str, Rows], asides: dict[str, Aside]) -> Iterator[Part]:
    for table in rows:
        yield from asides[table].take()
        yield from rows[table].take()


def _cells(table: str, row: Row) -> tuple[Any, ...]:
    if table == "users":
        return _required(row, "UserId"), _described(row)
    if table == "items":
        return _item(row)
    at = _instant(row.get("Timestamp"))
    if at is None:
        raise Refusal("Timestamp is no time with a zone")
    value = row.get("Value")
    context = _labels(row.get("Labels")) + ([("comment", text_of(row["Comment"]))] if row.get("Comment") else [])
    # A feedback without a value is written as 0: that says nothing, so it counts as one.
    number = float(value or 0) or 1.0 if isinstance(value, int | float) else 1.0
    return (*(_required(row, name) for name in ("UserId", "ItemId", "FeedbackType")), at, number, context)


def _item(row: Row) -> tuple[Any, ...]:
    categories = [text_of(name) for name in row.get("Categories") or []]
    comment = text_of(row.get("Comment"))
    title, text, category, attributes = item_fields(_labels(row.get("Labels")))
    if not title and len(comment) <= LONGEST_TITLE:
        title, comment = comment, ""
    hidden = [("hidden", "true")] if row.get("IsHidden") else []
    several = [("categories", "|".join(categories))] if len(categories) > 1 else []
    known = _instant(row.get("Timestamp"))
    since = known if known and known.year > NO_TIME else None
    first = (categories or [category])[0]
    return _required(row, "ItemId"), title, text or comment, first, attributes + several + hidden, since


def _described(row: Row) -> Pairs:
    comment = text_of(row.get("Comment"))
    return _labels(row.get("Labels")) + ([("comment", comment)] if comment else [])


def _labels(labels: Any) -> Pairs:
    if isinstance(labels, dict):
        return pairs_of(labels)
    text = text_of(labels)
    return [("labels", text)] if text else []


def _instant(value: Any) -> datetime | None:
    """An instant of the JSON export (ISO), or of the CSV export (as Go prints a time)."""
    if not isinstance(value, str):
        return None
    found = GO_TIME.match(value)
    return iso_instant(f"{found[1]}T{found[2]}{found[3]}" if found else value)


def _required(row: Row, name: str) -> str:
    text = text_of(row.get(name))
    if not text:
        raise Refusal(f"{name} is missing")
    return text


FORMAT: Final = Format("gorse", "Gorse: exported users, items and feedback, or its dump", recognises, read)
