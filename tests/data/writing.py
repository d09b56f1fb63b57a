"""Writes records as the files that a user might bring."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from liverank.config.data import SourceConfig
from liverank.data.ingest import read_source_data
from liverank.events import encode_record, to_table

NESTED = ("attributes", "context", "shown", "degraded", "feature_values")


def as_parquet(folder, tables):
    for name, records in tables.items():
        pq.write_table(to_table(records, name), folder / f"{name}.parquet")


def as_jsonl(folder, tables):
    lines = [encode_record(record) for records in tables.values() for record in records]
    (folder / "everything.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def as_csv(folder, tables):
    for name, records in tables.items():
        rows = [msgspec.to_builtins(record) for record in records]
        names = [field for field in (rows[0] if rows else {}) if field != "record"]
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            for row in rows:
                writer.writerow([json.dumps(row[n]) if n in NESTED else row[n] for n in names])


def parquet_file(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def clicks_csv(path, *lines, head="user_id,item_id,timestamp"):
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def read_contract(source, timezone="", **settings):
    """The records of files in memory."""
    return read_source_data(SourceConfig(source=str(source), format="contract", timezone=timezone, **settings))
