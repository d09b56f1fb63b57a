"""What a source yields, in the contract's types: rows that fit, rows that do not, and what a person should know."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.conform import Conformed, conform, with_origin
from liverank.data.dataset import DATASET_SCHEMAS
from liverank.data.sources.parts import Batch, Note, Parts, Refused
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS

NO_ZONE_HINT: Final = (
    "Write times as 2026-01-31T12:00:00Z or with +01:00 at the end, or set data.timezone to the zone they are in "
    "(e.g. Europe/Paris)."
)


@dataclass(frozen=True)
class Accepted:
    """Rows in `DATASET_SCHEMAS[table]`."""

    table: str
    rows: pa.Table


@dataclass
class _File:
    """How the rows of one file fared."""

    accepted: int = 0
    rejected: int = 0
    unzoned: int = 0
    first: dict[str, Any] = field(default_factory=dict)
    """The first rejected row."""


def accept(parts: Parts, origin: str, timezone: str = "") -> Iterator[Accepted | Refused | Note]:
    """The parts of one source as rows of the contract with their origin.

    Rows that have an origin already, those of a dataset folder that is read as a source, keep it.

    Args:
        parts: what the source's format yields.
        origin: the source's name.
        timezone: the zone of timestamps that carry none; empty: their rows are refused.

    Raises:
        DataError: a batch lacks a column or has one of an impossible type, or no row of a file can be read.
    """
    files: dict[str, _File] = {}
    said: set[str] = set()
    for part in parts:
        if isinstance(part, Note):
            yield part
        elif isinstance(part, Refused):
            yield Refused(_named(part.rows, origin))
        else:
            found = conform(part.rows, part.table, part.file, timezone, _lines(part), origin)
            _count(files.setdefault(part.file, _File()), found)
            yield from _new_notes(part, found, said)
            if found.rows.num_rows:
                yield Accepted(part.table, _with_origin(found, part, origin))
            if found.rejected.num_rows:
                yield Refused(found.rejected)
    for name, file in files.items():
        _refuse_hopeless(name, file)


def _named(rejected: pa.Table, origin: str) -> pa.Table:
    known = rejected.column(c.ORIGIN)
    return with_origin(rejected, origin) if known.null_count == len(known) else rejected


def _lines(batch: Batch) -> pa.Array | None:
    if batch.lines is not None:
        return batch.lines
    first, count = batch.first_line, batch.rows.num_rows
    return pa.array(range(first, first + count), pa.int64()) if first else None


def _count(file: _File, found: Conformed) -> None:
    file.accepted += found.rows.num_rows
    file.rejected += found.rejected.num_rows
    file.unzoned += found.unzoned
    if found.rejected.num_rows and not file.first:
        file.first = found.rejected.slice(0, 1).to_pylist()[0]


def _with_origin(found: Conformed, batch: Batch, origin: str) -> pa.Table:
    rows = found.rows
    own = pa.repeat(pa.scalar(origin), rows.num_rows)
    if found.origins is not None:
        own = pc.if_else(pc.equal(pc.fill_null(found.origins, ""), ""), own, found.origins)
    return rows.append_column(DATASET_SCHEMAS[batch.table].field(c.ORIGIN), own)


def _new_notes(batch: Batch, found: Conformed, said: set[str]) -> Iterator[Note]:
    """Assumptions made and columns left out, each said once a source."""
    where = batch.file.rsplit("/", 1)[-1]
    for name, unit in sorted(found.epochs):
        if f"{name} {unit}" not in said:
            said.add(f"{name} {unit}")
            yield Note(f"{where}: {name} holds numbers; they were read as {unit} since 1970 in UTC.")
    known = ARROW_SCHEMAS[batch.table].names
    for name in batch.rows.column_names:
        if name in known or name in said or name == c.ORIGIN:
            continue
        if batch.rows.column(name).null_count < batch.rows.num_rows:
            said.add(name)
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
            guess = f"; did you mean {near[0]}?" if near else "."
            yield Note(f"{where}: the column {name} is not in the contract and was not read{guess}")


def _refuse_hopeless(name: str, file: _File) -> None:
    if file.accepted or not file.rejected:
        return
    if file.unzoned == file.rejected:
        raise DataError(
            f"{name}: the column {c.TIMESTAMP} has no zone in any of its {file.unzoned:,} rows.", NO_ZONE_HINT
        )
    line = f"line {file.first['line']:,}, " if file.first["line"] else ""
    raise DataError(
        f"None of the {file.rejected:,} rows of {name} follows the data contract; the first: "
        f"{line}{file.first['reason']} in {file.first['row'][:200]}.",
        "docs/contract.md lists the fields of each record.",
    )
