"""A source of modest size in memory: for looking at it, for the live store's first filling, and for tests."""

from __future__ import annotations

import pyarrow as pa

from liverank.data.accept import Accepted, accept
from liverank.data.conform import bare_items
from liverank.data.dataset import REJECTED_SCHEMA, Dataset
from liverank.data.sources.parts import Note, Parts
from liverank.events import ARROW_SCHEMAS


def collect(parts: Parts, name: str = "", timezone: str = "") -> Dataset:
    """All parts of one source as a dataset; rows in the order in which they came, rejected ones with the name.

    Raises:
        DataError: the source cannot be read.
    """
    tables: dict[str, list[pa.Table]] = {table: [schema.empty_table()] for table, schema in ARROW_SCHEMAS.items()}
    rejected, notes = [REJECTED_SCHEMA.empty_table()], []
    for part in accept(parts, name, timezone):
        if isinstance(part, Accepted):
            tables[part.table].append(part.rows.select(ARROW_SCHEMAS[part.table].names))
        elif isinstance(part, Note):
            notes.append(part.text)
        else:
            rejected.append(part.rows)
    dataset = Dataset({table: pa.concat_tables(found) for table, found in tables.items()}, source=name, notes=notes)
    dataset.rejected = pa.concat_tables(rejected)
    _add_missing_items(dataset)
    return dataset


def _add_missing_items(dataset: Dataset) -> None:
    """A source without any catalogue gets one of bare ids, so that a plain file of clicks is enough to start."""
    if dataset.tables["items"].num_rows or "items" in dataset.rejected.column("table").to_pylist():
        return
    items = bare_items(dataset.tables["interactions"])
    if items.num_rows:
        dataset.tables["items"] = items
        dataset.notes.append(no_items_note(items.num_rows))


def no_items_note(count: int) -> str:
    """What is said of a source without a catalogue."""
    return f"The source has no items: {count:,} item ids were taken from the interactions, without any text."
