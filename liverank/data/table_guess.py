"""Guesses the mapping of a source of plain files: one file of each distinct header is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config.data import SourceConfig
from liverank.data.column_guess import LOOKED_AT, TableGuess, guess_table
from liverank.data.conform import REQUIRED
from liverank.data.encodings import blocks
from liverank.data.files import data_files, header, read_raw
from liverank.data.locations import Location
from liverank.data.mapping import after
from liverank.data.sources.contract import RECORD, table_of
from liverank.errors import DataError

MOST_FILES: Final = 500
"""Files of a source whose headers are read."""
JSON_BYTES: Final = 1 << 16
JSON_LINES: Final = 100
"""How much of a file of JSON lines is read for its header."""
ORDER: Final = ("interactions", "impressions", "items", "users")
"""A file is of the first table whose columns it has: events have those of their items too, so they come first."""
MEND: Final = "rename it, or give the file as a source of its own (data.sources)"


@dataclass
class SourceGuess:
    """What the files of a source seem to hold."""

    mapping: dict[str, dict[str, str]] = field(default_factory=dict)
    tables: list[tuple[str, TableGuess]] = field(default_factory=list)
    """(file, what its columns seem to be)."""
    zoneless: bool = False
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    """Why a run would fail on the source with this mapping."""


@dataclass(frozen=True)
class _Looked:
    file: Location
    names: tuple[str, ...]
    rows: pa.Table
    guess: TableGuess | None


def guess_source(config: SourceConfig) -> SourceGuess:
    """The mapping that the names and values of a source's columns tell.

    Raises:
        DataError: there is no file, or one cannot be read.
    """
    found = SourceGuess()
    files = [file for file in data_files(config.source)[0] if file.size]
    if len(files) > MOST_FILES:
        found.notes.append(f"Only the columns of the first {MOST_FILES} of {len(files):,} files were looked at.")
    looked = list(_distinct(files[:MOST_FILES], config.encoding))
    found.mapping = _mapping(looked)
    # How the reader tells a file's table is what counts: where it takes a file for another table, so does the guess.
    looked = [_as_read(one, config.model_copy(update={"mapping": found.mapping})) for one in looked]
    found.mapping = _mapping(looked)
    final = config.model_copy(update={"mapping": found.mapping})
    found.problem = next((problem for one in looked if (problem := _problem(one, final))), "")
    found.tables = [(one.file.name, one.guess) for one in looked if one.guess]
    found.zoneless = any(guess.zoneless for _, guess in found.tables)
    found.notes += _lost(looked, found.mapping)
    return found


def _distinct(files: Sequence[Location], encoding: str) -> Iterator[_Looked]:
    seen = set()
    for file in files:
        names = _header(file, encoding)
        told = _series(file.stem)
        if (names, told) in seen or RECORD in names or c.SHOWN in names:
            continue
        seen.add((names, told))
        raw = next((raw.rows for raw in read_raw(file, encoding)), pa.table({}))
        # A copy: a slice would hold the whole block.
        rows = with_nested(raw.take(pa.array(range(min(raw.num_rows, LOOKED_AT)), pa.int64())))
        yield _Looked(file, tuple(raw.column_names), rows, guess_table(rows, file.stem))


def _series(stem: str) -> str:
    """The part of a file's name that may tell its table: the name without what numbers its parts."""
    return stem.rstrip("0123456789-_.()T: ").casefold()


def _header(file: Location, encoding: str) -> tuple[str, ...]:
    if file.suffix not in (".jsonl", ".ndjson"):
        return tuple(header(file, encoding))
    lines = next(blocks(file, encoding, JSON_BYTES), b"").split(b"\n")[:JSON_LINES]
    names: dict[str, None] = {}
    for line in lines:
        try:
            names |= dict.fromkeys(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.MsgspecError:
            continue
    return tuple(sorted(names))


def _mapping(looked: Sequence[_Looked]) -> dict[str, dict[str, str]]:
    """Of each table what all of its files agree on; what is required as the first of them has it."""
    found: dict[str, dict[str, str]] = {}
    for one in looked:
        if one.guess is None:
            continue
        new = one.guess.mapping
        known = found.setdefault(one.guess.table, new)
        need = REQUIRED[one.guess.table]
        found[one.guess.table] = {
            name: column for name, column in known.items() if name in need or new.get(name) == column
        }
    return {table: found[table] for table in ORDER if found.get(table)}


def _as_read(one: _Looked, config: SourceConfig) -> _Looked:
    told = _table(one, config)
    if one.guess is None or not told or told == one.guess.table:
        return one
    return replace(one, guess=guess_table(one.rows, one.file.stem, told) or one.guess)


def _table(one: _Looked, config: SourceConfig) -> str:
    try:
        return table_of(one.file, one.names, config)
    except DataError:
        return ""


def _problem(one: _Looked, config: SourceConfig) -> str:
    if not one.names:
        return ""
    try:
        told = table_of(one.file, one.names, config)
    except DataError as problem:
        return str(problem)
    mapping, own = config.mapping.get(told, {}), one.guess.mapping if one.guess else {}
    if one.guess and told != one.guess.table:
        return f"{one.file.name} looks like {one.guess.table} and is read as {told}: {MEND}."
    if lacks := [name for name in REQUIRED[told] if name not in after(mapping, one.names)]:
        names = ", ".join(one.names)
        return f"{one.file.name} is read as {told} and has no {lacks[0]}; found the columns {names}: {MEND}."
    unlike = [name for name in REQUIRED[told] if one.guess and mapping.get(name, name) != own.get(name, name)]
    if not unlike:
        return ""
    name = unlike[0]
    return (
        f"{one.file.name} has its {name} in {own.get(name, name)!r}, other files of {told} in "
        f"{mapping.get(name, name)!r}: {MEND}."
    )


def _lost(looked: Sequence[_Looked], mapping: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for one in looked:
        if one.guess is None:
            continue
        taken = mapping.get(one.guess.table, {})
        need = REQUIRED[one.guess.table]
        rest = [(name, column) for name, column in one.guess.mapping.items() if name not in need]
        lost = [f"{name} from {column}" for name, column in rest if name not in taken]
        if lost:
            yield f"{one.file.name}: {', '.join(lost)} is not taken, as other files of {one.guess.table} lack it."


def with_nested(rows: pa.Table) -> pa.Table:
    """The rows with the fields of nested JSON objects and structs as columns of their own, `user.id`."""
    columns: dict[str, Any] = {}
    for name in rows.column_names:
        inner = _inner(rows.column(name))
        columns |= {f"{name}.{key}": cells for key, cells in inner.items()} if inner else {name: rows.column(name)}
    return pa.table(columns) if columns else rows


def _inner(column: pa.ChunkedArray) -> Mapping[str, Any]:
    if pa.types.is_struct(column.type):
        array = column.combine_chunks()
        return {item.name: pc.struct_field(array, item.name) for item in column.type}
    if not pa.types.is_string(column.type):
        return {}
    texts = column.to_pylist()
    objects = [_object(text) for text in texts]
    # One line that is otherwise than the others must not take what they hold away.
    if 2 * sum(map(bool, objects)) <= sum(map(bool, texts)):
        return {}
    keys = dict.fromkeys(key for entry in objects for key, value in entry.items() if not isinstance(value, dict | list))
    return {
        key: pa.array([None if entry.get(key) is None else str(entry[key]) for entry in objects], pa.string())
        for key in keys
    }


def _object(text: str | None) -> dict[str, Any]:
    """The JSON object that a text holds, empty where it holds none."""
    if not text or not text.startswith("{"):
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
