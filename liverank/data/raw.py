"""Rows of a file as read, before anything is known of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from liverank import columns as c
from liverank.data.dataset import REJECTED_SCHEMA


@dataclass
class RawBatch:
    """Some rows of a file: text from CSV and JSON lines, typed columns from Parquet."""

    rows: pa.Table
    lines: pa.Array | None = None
    """Line of each row in the file (in Parquet its number among the rows), from 1; None where it has none."""
    rejected: pa.Table = field(default_factory=lambda: REJECTED_SCHEMA.empty_table())
    """What is no row at all."""


def broken(file: str, found: Sequence[tuple[int, str, str]]) -> pa.Table:
    """Rejected rows from (line, text, reason) of what is no row."""
    lines, texts, reasons = [list(part) for part in zip(*found, strict=True)] if found else ([], [], [])
    count = len(found)
    columns = {"table": [""] * count, "row": texts, "reason": reasons, c.ORIGIN: [None] * count}
    return pa.table({**columns, "file": [file] * count, "line": lines}, schema=REJECTED_SCHEMA)


def of_table(rejected: pa.Table, table: str) -> pa.Table:
    """Rejected rows under the table that they were meant for."""
    at = REJECTED_SCHEMA.get_field_index("table")
    return rejected.set_column(at, REJECTED_SCHEMA.field(at), pa.repeat(pa.scalar(table), rejected.num_rows))
