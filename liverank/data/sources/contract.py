"""Reads files that follow the data contract, plain CSV files of clicks among them, or that a mapping explains."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.config.data import SourceConfig
from liverank.data.conform import REQUIRED
from liverank.data.csv_headers import SEPARATORS, csv_header
from liverank.data.dataset import REJECTED_FILE, REJECTED_SCHEMA, SOURCE_FILE
from liverank.data.files import data_files, read_raw
from liverank.data.locations import Location, locate
from liverank.data.mapping import after, check, fits, id_columns, mapped, missing
from liverank.data.raw import RawBatch, of_table
from liverank.data.sources.parts import BATCH_ROWS, Batch, Format, Note, Parts, Refused
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS

RECORD: Final = "record"
DESCRIBING: Final = {c.TITLE, c.TEXT, c.CATEGORY, c.ATTRIBUTES, c.AVAILABLE_FROM}
TAGS: Final = {"item": "items", "user": "users", "impression": "impressions", "interaction": "interactions"}


def read(config: SourceConfig) -> Parts:
    """The records of a file, a folder, a glob or a URL of them.

    A file's table is told by the `record` tag of its rows, by `data.mapping`, by columns that only one table has, and
    else by its name (items, users, impressions, interactions, also with a suffix such as `interactions-2026-01`).

    Raises:
        DataError: nothing to read, an unreadable file, or a table that cannot be told.
    """
    check(config.mapping)
    files, others = data_files(config.source)
    if not any(file.size for file in files):
        # One empty file among others is a day on which nothing happened; nothing but empty files is a mistake.
        files = files[:1]
    known = carried(config)
    yield from (Note(text) for text in known.get("notes", ()))
    if others:
        names = ", ".join(file.name for file in others[:5]) + (", ..." if len(others) > 5 else "")
        verb = "was" if len(others) == 1 else "were"
        yield Note(f"{names} {verb} not read: no data {'file' if len(others) == 1 else 'files'}.")
    for file in files:
        if file.size or len(files) == 1 or file.suffix == ".parquet":
            yield from _read_file(file, config, bool(known))
        else:
            yield Note(f"{file.name} is empty (0 bytes): it was read as no rows.")
    if known:
        yield from _rejected_before(config.source)


def carried(config: SourceConfig) -> dict[str, Any]:
    """What a dataset folder that is read as a source knows of itself; nothing of any other source."""
    try:
        files = locate(config.source)
    except DataError:
        return {}
    found = [file for file in files if file.name == SOURCE_FILE and len(files) > 1]
    if len(found) != 1:
        return {}
    try:
        with found[0].open() as content:
            facts = json.load(content)
    except ValueError as problem:
        raise DataError(f"{found[0]} is damaged: {problem}.", "Write the dataset folder anew.") from problem
    # Anybody may have a file of that name.
    return facts if isinstance(facts, dict) and {"rows", "hash"} <= set(facts) else {}


def _rejected_before(source: str) -> Parts:
    for file in locate(source):
        if file.name == REJECTED_FILE:
            with file.open() as content:
                rows = pq.read_table(content)
            missing = [field for field in REJECTED_SCHEMA if field.name not in rows.column_names]
            for field in missing:
                rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
            yield Refused(rows.select(REJECTED_SCHEMA.names).cast(REJECTED_SCHEMA))


def _read_file(file: Location, config: SourceConfig, dataset: bool) -> Parts:
    yield from _separator_note(file, config.encoding)
    kept, refused = 0, REJECTED_SCHEMA.empty_table()
    for raw in read_raw(file, config.encoding, id_columns(config.mapping)):
        if raw.rejected.num_rows:
            refused = refused if refused.num_rows else raw.rejected.slice(0, 1)
            yield Refused(of_table(raw.rejected, _meant(file, raw.rows.column_names, config)))
        kept += raw.rows.num_rows
        for table, rows in _by_table(raw, file, config).items():
            yield from _batches(table, rows, file, config, dataset)
    if refused.num_rows and not kept:
        first = refused.to_pylist()[0]
        raise DataError(
            f"No row of {file} can be read; the first, line {first['line']:,}: {first['reason']} in "
            f"{first['row'][:200]}.",
            "Check that the file has the format its name says.",
        )


def _meant(file: Location, names: Sequence[str], config: SourceConfig) -> str:
    """The table that lines which are no rows would have belonged to; empty where nothing tells."""
    if RECORD in names and not config.mapping:
        return ""
    try:
        return table_of(file, names, config)
    except DataError:
        return ""


def _separator_note(file: Location, encoding: str) -> Iterator[Note]:
    if file.suffix in (".csv", ".tsv") and file.size:
        separator = csv_header(file, encoding).separator
        if separator != "," and not (separator == "\t" and file.suffix == ".tsv"):
            yield Note(f"{file.name}: the columns are separated by {SEPARATORS[separator]}.")


def _batches(table: str, raw: RawBatch, file: Location, config: SourceConfig, dataset: bool) -> Iterator[Batch]:
    rows = mapped(raw.rows, config.mapping.get(table, {}), str(file), table)
    dropped = [name for name in (RECORD,) if name in rows.column_names and name not in ARROW_SCHEMAS[table].names]
    rows = rows.drop_columns(dropped)
    if not dataset and c.ORIGIN in rows.column_names:
        # A column of that name means something else in anybody's own file.
        rows = rows.rename_columns([f"{name} " if name == c.ORIGIN else name for name in rows.column_names])
    for start in range(0, rows.num_rows, BATCH_ROWS):
        lines = None if raw.lines is None else raw.lines.slice(start, BATCH_ROWS)
        yield Batch(table, rows.slice(start, BATCH_ROWS), str(file), lines=lines)


def _by_table(raw: RawBatch, file: Location, config: SourceConfig) -> dict[str, RawBatch]:
    """The rows for each table that they belong to."""
    names = raw.rows.column_names
    if not names or not raw.rows.num_rows:
        return {}
    if RECORD in names and not config.mapping:
        return _by_tag(raw, file)
    return {table_of(file, names, config): raw}


def _by_tag(raw: RawBatch, file: Location) -> dict[str, RawBatch]:
    tags = raw.rows.column(RECORD).combine_chunks()
    found = {str(tag): tag for tag in pc.unique(tags).to_pylist()}
    unknown = sorted(set(found) - set(TAGS))
    if unknown:
        at = pc.index(pc.fill_null(tags.cast(pa.string()), "None"), unknown[0]).as_py()
        line = "" if raw.lines is None else f", line {raw.lines[at].as_py():,},"
        raise DataError(
            f"{file}{line} has a row whose {RECORD} is {unknown[0]!r}.", f"Expected one of {', '.join(TAGS)}."
        )
    if len(found) == 1:
        return {TAGS[next(iter(found))]: raw}
    return {TAGS[tag]: _chosen(raw, pc.equal(tags, tag)) for tag in sorted(found)}


def _chosen(raw: RawBatch, which: pa.Array) -> RawBatch:
    which = pc.fill_null(which, False)
    return RawBatch(raw.rows.filter(which), None if raw.lines is None else raw.lines.filter(which))


def table_of(file: Location, names: Sequence[str], config: SourceConfig | None = None) -> str:
    """The contract's table that a file holds, by its name, the mapping or its columns.

    Raises:
        DataError: nothing tells; the message lists the columns found.
    """
    columns = set(names)
    mapping = config.mapping if config else {}
    told = [table for table in (_named(file.stem), _named(_folder(file))) if table]
    full = [table for table, fields in mapping.items() if fields and _complete(table, fields, names)]
    if full:
        return next((table for table in told if table in full), full[0])
    if decided := _decided(file, columns):
        return decided
    if named := _named(file.stem):
        return named
    # A folder may be called so for another reason, /mnt/users for one.
    if told and (told[0] in mapping or columns.issuperset(REQUIRED[told[0]])):
        return told[0]
    for table, fields in mapping.items():
        if fits(fields, names):
            return table
    if {c.USER_ID, c.ITEM_ID} <= columns:
        return "interactions"
    if c.ITEM_ID in columns:
        return "items"
    if c.USER_ID in columns and c.TIMESTAMP not in columns:
        return "users"
    raise _no_table(file, names, mapping)


def _complete(table: str, fields: Mapping[str, str], names: Sequence[str]) -> bool:
    """Whether the mapping makes all that the table needs of a file with these columns."""
    return fits(fields, names) and after(fields, names).issuperset(REQUIRED[table])


def _decided(file: Location, columns: set[str]) -> str:
    """The table where the columns say more than the name: users_clicks.csv holds clicks."""
    if c.SHOWN in columns:
        return "impressions"
    named = _named(file.stem)
    if not columns.issuperset(REQUIRED["interactions"]) or named == "impressions":
        # A file of impressions without the shown list lacks something: it is no file of clicks.
        return ""
    own = {"items": DESCRIBING - {c.ATTRIBUTES}, "users": {c.ATTRIBUTES}}.get(named or "", set())
    return "" if file.stem.lower() == named and columns & own else "interactions"


def _no_table(file: Location, names: Sequence[str], mapping: Mapping[str, Mapping[str, str]]) -> DataError:
    lacks = [
        f"data.mapping.{table}.{name} names {fields[name]}"
        for table, fields in mapping.items()
        for name in missing(fields, names)
    ]
    why = f": {', '.join(lacks)}, which is not there" if lacks else ""
    return DataError(
        f"{file} is no table of the data contract{why}; found the columns {', '.join(names)}.",
        "Expected user_id, item_id, timestamp[, type] for events, or item_id[, title, text, category] for items; "
        "data.mapping says which column is which.",
    )


def _named(name: str) -> str | None:
    return next((table for table in ARROW_SCHEMAS if re.fullmatch(rf"{table}([^a-z].*)?", name.lower())), None)


def _folder(file: Location) -> str:
    """The nearest folder that is no partition such as `day=2026-01-31`."""
    folders = [part for part in str(file).split("/")[:-1] if "=" not in part]
    return folders[-1] if folders else ""


FORMAT: Final = Format(
    "contract",
    "the data contract's own files: Parquet, JSON lines or CSV, also of plain clicks or with data.mapping",
    # Whatever nobody else knows is read as this, and says itself what it lacks.
    lambda config: True,
    read,
)
