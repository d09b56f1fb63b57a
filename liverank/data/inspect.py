"""What a source holds: its format, what becomes what, how it fares against the contract; a sample of it if large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config.data import SourceConfig
from liverank.data.accept import Accepted, accept
from liverank.data.column_guess import TableGuess
from liverank.data.locations import locate
from liverank.data.sources.contract import carried
from liverank.data.sources.parts import Note, Refused
from liverank.data.sources.registry import format_of
from liverank.data.table_guess import guess_source
from liverank.errors import DataError

LIMIT: Final = 200_000
"""Events after which a source has been looked at enough."""
ASSUMED_ZONE: Final = "UTC"
EVENTS: Final = ("impressions", "interactions")


@dataclass
class TableSeen:
    """What was seen of one table."""

    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Inspection:
    """What a source seems to be, and what `liverank.yaml` would say of it."""

    config: SourceConfig
    about: str
    files: int = 0
    bytes: int = 0
    whole: bool = True
    """Whether all of it was looked at."""
    synthetic: bool = False
    tables: dict[str, TableSeen] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Reason -> the first row that was refused for it."""
    guesses: list[tuple[str, TableGuess]] = field(default_factory=list)
    """(file, what its columns seem to be), of plain tables."""
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    """Why a run on it would fail."""


def inspect_source(config: SourceConfig, limit: int = LIMIT, samples: int = 3) -> Inspection:
    """Looks at a source.

    Args:
        config: the source; what it leaves open is guessed.
        limit: events after which to stop; 0: look at all of it.
        samples: rows of each table to keep.

    Raises:
        DataError: it cannot be read, or nothing tells what it is.
    """
    found = format_of(config)
    seen = Inspection(config.model_copy(update={"format": found.name}), found.about)
    _measure(seen)
    if found.name == "contract" and not config.mapping:
        seen.synthetic = bool(carried(config).get("synthetic"))
        _guess(seen)
    parts = accept(found.read(seen.config), config.name, seen.config.timezone)
    try:
        _look(seen, parts, limit, samples)
    except DataError as problem:
        if not seen.refused and not any(table.rows for table in seen.tables.values()):
            raise
        seen.problem = seen.problem or str(problem)
    if not any(table.rows for table in seen.tables.values()):
        seen.problem = seen.problem or "No row fits the contract."
    return seen


def _measure(seen: Inspection) -> None:
    if "://" in seen.config.source and seen.config.format in ("sql", "kafka"):
        return
    files = locate(seen.config.source)
    seen.files, seen.bytes = len(files), sum(file.size for file in files)


def _guess(seen: Inspection) -> None:
    """Adds to the source's configuration what its columns' names and values tell."""
    guess = guess_source(seen.config)
    seen.guesses, seen.problem = guess.tables, guess.problem
    seen.notes += guess.notes
    change: dict[str, Any] = {"mapping": guess.mapping}
    if guess.zoneless and not seen.config.timezone:
        change["timezone"] = ASSUMED_ZONE
        seen.notes.append(f"The times carry no zone: {ASSUMED_ZONE} is assumed; --timezone names another.")
    seen.config = seen.config.model_copy(update=change)


def _look(seen: Inspection, parts: Iterator[Accepted | Refused | Note], limit: int, samples: int) -> None:
    for part in parts:
        if isinstance(part, Note):
            seen.notes.append(part.text)
        elif isinstance(part, Refused):
            _add_refused(seen, part.rows)
        else:
            _add_rows(seen, part.table, part.rows, samples)
        rows = {table: told.rows for table, told in seen.tables.items()}
        events = sum(rows.get(table, 0) for table in EVENTS)
        if limit and (events >= limit or sum(rows.values()) + seen.refused.total() >= 5 * limit):
            # The source may have ended with this part: only the next one would tell.
            seen.whole = next((False for _ in parts), True)
            return


def _add_rows(seen: Inspection, table: str, rows: pa.Table, samples: int) -> None:
    told = seen.tables.setdefault(table, TableSeen())
    told.rows += rows.num_rows
    if len(told.samples) < samples:
        told.samples += rows.slice(0, samples - len(told.samples)).drop_columns([c.ORIGIN]).to_pylist()
    if c.TIMESTAMP in rows.column_names:
        span = pc.min_max(rows.column(c.TIMESTAMP)).as_py()
        told.first = min(told.first or span["min"], span["min"])
        told.last = max(told.last or span["max"], span["max"])
    if table == "interactions":
        for entry in pc.value_counts(rows.column(c.TYPE)).to_pylist():
            seen.types[entry["values"]] += entry["counts"]


def _add_refused(seen: Inspection, rows: pa.Table) -> None:
    for entry in pc.value_counts(rows.column("reason")).to_pylist():
        seen.refused[entry["values"]] += entry["counts"]
        if entry["values"] not in seen.examples:
            first = rows.filter(pc.equal(rows.column("reason"), entry["values"])).slice(0, 1)
            seen.examples[entry["values"]] = first.to_pylist()[0]
