"""The live store's log as Arrow tables: pages of records in arrival order, each in the column of its table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.events import ARROW_SCHEMAS, RECORD_TYPES, Record, to_table

PAGE_ROWS: Final = 50_000
"""Records in a page at most, and so in memory at once."""
SEQUENCE: Final = "sequence"
ARRIVED: Final = "arrived"


def _optional(schema: pa.Schema) -> pa.StructType:
    # A row of the log has a value in one table's column alone: below a null even required fields are null.
    return pa.struct([field.with_nullable(True) for field in schema])


SCHEMA: Final = pa.schema(
    [
        (SEQUENCE, pa.int64()),
        (ARRIVED, pa.timestamp("us", tz="UTC")),
        *((name, _optional(schema)) for name, schema in ARROW_SCHEMAS.items()),
    ]
)
"""A landed log: one row a record, its fields in the column of its table."""


class Arrivals(Protocol):
    """A log that is read in the order of arrival."""

    def export_arrivals(self, since: int = 0, limit: int | None = None) -> Iterator[tuple[int, float, Record]]:
        """Records after a cursor, each with its own cursor and the epoch seconds of its arrival."""
        ...


def pages(store: Arrivals, since: int) -> Iterator[pa.Table]:
    """The log after the cursor `since`, in `SCHEMA`; interactions that say no arrival time get the log's."""
    log = store.export_arrivals(since)
    while page := list(islice(log, PAGE_ROWS)):
        yield _page(page)


def _page(page: list[tuple[int, float, Record]]) -> pa.Table:
    sequences, arrivals, records = zip(*page, strict=True)
    arrived = pa.array([instant(at) for at in arrivals], SCHEMA.field(ARRIVED).type)
    columns = {SEQUENCE: pa.array(sequences, pa.int64()), ARRIVED: arrived}
    for name, kind in RECORD_TYPES.items():
        places = [at for at, record in enumerate(records) if isinstance(record, kind)]
        table = to_table([records[at] for at in places], name)
        if name == "interactions":
            table = with_arrivals(table, arrived.take(pa.array(places, pa.int64())))
        columns[name] = _spread(table, places, len(records))
    return pa.table(columns, schema=SCHEMA)


def instant(seconds: float) -> datetime:
    """Epoch seconds in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def with_arrivals(table: pa.Table, arrived: pa.Array) -> pa.Table:
    """Interactions whose arrival is the log's where they do not say one."""
    at = table.column_names.index(c.RECEIVED_AT)
    return table.set_column(at, table.schema.field(at), pc.coalesce(table.column(at), arrived))


def _spread(table: pa.Table, places: list[int], size: int) -> pa.Array:
    """The rows as structs at their places among `size`, null elsewhere."""
    kind = _optional(table.schema)
    structs = pa.StructArray.from_arrays(
        [_flat(column) for column in table.columns], fields=[kind.field(at) for at in range(kind.num_fields)]
    )
    sources: list[int | None] = [None] * size
    for source, place in enumerate(places):
        sources[place] = source
    return structs.take(pa.array(sources, pa.int64()))


def _flat(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else whole.chunk(0)


def rows_of(page: pa.Table, name: str) -> pa.Table:
    """The rows of one of the contract's tables, with their sequence."""
    page = page.filter(pc.is_valid(page.column(name)))
    fields = page.column(name).combine_chunks()
    columns = {field.name: pc.struct_field(fields, [field.name]) for field in fields.type}
    return pa.table({**columns, SEQUENCE: page.column(SEQUENCE)})
