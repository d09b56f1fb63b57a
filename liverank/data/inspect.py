"""What a source holds, in a few lines a person can read."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config.data import DataConfig
from liverank.data.dataset import Dataset
from liverank.data.ingest import read_source_data


def describe(config: DataConfig, samples: int = 3) -> Iterator[str]:
    """Lines about the configured source: format, rows, time span, event types, samples, rows that do not fit.

    Raises:
        DataError: the source cannot be read.
    """
    dataset = read_source_data(config)
    yield f"{dataset.source}: format {dataset.format}{', synthetic' if dataset.synthetic else ''}"
    for name, rows in dataset.tables.items():
        yield f"{name}: {rows.num_rows:,} rows{_span(rows)}"
        yield from (f"  {json.dumps(row, ensure_ascii=False, default=str)}" for row in _samples(rows, samples))
    yield from _types(dataset, config)
    yield from _reasons(dataset.rejected)
    yield from dataset.notes


def _span(rows: pa.Table) -> str:
    if c.TIMESTAMP not in rows.column_names or not rows.num_rows:
        return ""
    span = pc.min_max(rows.column(c.TIMESTAMP)).as_py()
    return f", {span['min']:%Y-%m-%d %H:%M} to {span['max']:%Y-%m-%d %H:%M} UTC"


def _samples(rows: pa.Table, count: int) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if value} for row in rows.slice(0, count).to_pylist()]


def _types(dataset: Dataset, config: DataConfig) -> Iterator[str]:
    for entry in pc.value_counts(dataset.tables["interactions"].column(c.TYPE)).to_pylist():
        known = "" if entry["values"] in config.event_weights else " (unknown: give it a weight in data.event_weights)"
        yield f"type {entry['values']}: {entry['counts']:,}{known}"


def _reasons(rejected: pa.Table) -> Iterator[str]:
    if rejected.num_rows:
        yield f"{rejected.num_rows:,} rows do not fit the contract:"
    for entry in pc.value_counts(rejected.column("reason")).to_pylist():
        yield f"  {entry['counts']:,}: {entry['values']}"
