"""Quarantined rows brought into the contract's types again: people edit them, and configurations change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config import DataConfig
from liverank.config.data import SourceConfig
from liverank.data.conform import conform
from liverank.data.dataset import DATASET_SCHEMAS
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS


@dataclass
class Requalified:
    """Rows of one table in the dataset's schema, and why the others still are none."""

    table: str
    rows: pa.Table
    reasons: list[str]


def conformed(data: DataConfig, table: str, raw: pa.Table) -> Requalified:
    """The rows of a quarantine's file, whatever it was edited with."""
    if not raw.num_rows:
        return Requalified(table, DATASET_SCHEMAS[table].empty_table(), [])
    known = [name for name in (*ARROW_SCHEMAS[table].names, c.ORIGIN) if name in raw.column_names]
    return _conform(table, raw.select(known), data.timezone)


def reconformed(data: DataConfig, rejected: pa.Table) -> Iterator[Requalified]:
    """Rejected rows, from their JSON text, with the mapping and the time zone that their source has now."""
    sources = _by_name(data)
    rejected = rejected.set_column(0, "table", pc.fill_null(rejected["table"], ""))
    keys = rejected.group_by(["table", c.ORIGIN]).aggregate([]).sort_by([("table", "ascending")]).to_pylist()
    for key in keys:
        table, origin = key["table"], key[c.ORIGIN]
        same = pc.and_(pc.equal(rejected["table"], table), pc.equal(pc.fill_null(rejected[c.ORIGIN], ""), origin or ""))
        part = rejected.filter(same)
        if table not in ARROW_SCHEMAS:
            yield Requalified("items", DATASET_SCHEMAS["items"].empty_table(), part["reason"].to_pylist())
            continue
        source = sources.get(origin or "", data)
        yield _from_text(table, part, source, origin or "")


def _by_name(data: DataConfig) -> dict[str, SourceConfig]:
    named: dict[str, SourceConfig] = {}
    for source in data.every_source():
        named.setdefault(source.name or source.source.rstrip("/").rsplit("/", 1)[-1], source)
    return named


def _from_text(table: str, part: pa.Table, source: SourceConfig, origin: str) -> Requalified:
    rows: list[dict[str, Any]] = []
    reasons: list[str] = []
    for text, reason in zip(part["row"].to_pylist(), part["reason"].to_pylist(), strict=True):
        values = _object(text)
        if values is None:
            reasons.append(reason)
        else:
            rows.append(_mapped(values, source.mapping.get(table, {})))
    if not rows:
        return Requalified(table, DATASET_SCHEMAS[table].empty_table(), reasons)
    names = [name for name in ARROW_SCHEMAS[table].names if any(name in row for row in rows)]
    raw = pa.table({name: pa.array([_text(row.get(name)) for row in rows], pa.string()) for name in names})
    raw = raw.append_column(c.ORIGIN, pa.repeat(pa.scalar(origin), len(rows)))
    found = _conform(table, raw, source.timezone)
    return Requalified(table, found.rows, reasons + found.reasons)


def _object(text: str) -> dict[str, Any] | None:
    try:
        values = json.loads(text)
    except (TypeError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _mapped(values: dict[str, Any], mapping: dict[str, str]) -> dict[str, Any]:
    """The row with the fields that the mapping names, where it has them under the source's names."""
    for field, column in mapping.items():
        inner: Any = values
        for part in [column] if column in values else column.split("."):
            inner = inner.get(part) if isinstance(inner, dict) else None
        if inner is not None:
            values = {**values, field: inner}
    return values


def _text(value: Any) -> str | None:
    """As a CSV would have it: what is no text is JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _conform(table: str, raw: pa.Table, timezone: str) -> Requalified:
    try:
        found = conform(raw.append_column("line", pa.array(range(raw.num_rows))), table, "the quarantine", timezone)
    except DataError as problem:
        return Requalified(table, DATASET_SCHEMAS[table].empty_table(), [problem.message] * raw.num_rows)
    kept = _kept(raw.num_rows, found.rejected)
    origin = pc.fill_null(raw[c.ORIGIN].cast(pa.string()), "") if c.ORIGIN in raw.column_names else None
    origins = origin.filter(kept) if origin is not None else pa.repeat(pa.scalar(""), found.rows.num_rows)
    rows = found.rows.append_column(DATASET_SCHEMAS[table].field(c.ORIGIN), origins)
    return Requalified(table, rows.cast(DATASET_SCHEMAS[table]), found.rejected["reason"].to_pylist())


def _kept(count: int, rejected: pa.Table) -> pa.Array:
    """Which rows were conformed, told by the numbers in those that were not."""
    gone = {json.loads(text)["line"] for text in rejected["row"].to_pylist()}
    return pa.array([number not in gone for number in range(count)])
