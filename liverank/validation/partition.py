"""Every row goes to one of two places: the accepted dataset, or the quarantine with the reasons."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.data.dataset import DATASET_SCHEMAS, REJECTED_FILE, REJECTED_SCHEMA, SOURCE_FILE
from liverank.events import ARROW_SCHEMAS
from liverank.validation.flags import REASONS

Mask = npt.NDArray[np.bool_]
BATCH_ROWS = 65_536


def part(source: Path, table: str, kept: Mask, reasons: pa.Array, accepted: Path, quarantine: Path) -> None:
    """Writes the kept rows to `accepted` and the others, with their reasons, to `quarantine`; batch by batch.

    Args:
        source: the dataset folder.
        table: name of the table.
        kept: one entry a row of the file.
        reasons: list<string>, one entry a row that is not kept, in the file's order.
        accepted: an existing folder.
        quarantine: an existing folder.
    """
    path, schema = source / f"{table}.parquet", DATASET_SCHEMAS[table]
    # What is missing may be the very reason, so every column of the quarantine may be null.
    marked = pa.schema([field.with_nullable(True) for field in schema]).append(pa.field(REASONS, pa.list_(pa.string())))
    untouched = kept.all() and pq.read_schema(path).equals(schema)
    if untouched:
        shutil.copyfile(path, accepted / path.name)
    with pq.ParquetWriter(quarantine / path.name, marked, compression="zstd") as aside:
        if untouched:
            return
        with pq.ParquetWriter(accepted / path.name, schema, compression="zstd") as good:
            told = 0
            for batch, mask in _batches(path, table, kept):
                good.write_table(batch.filter(pa.array(mask)).cast(schema))
                bad = batch.filter(pa.array(~mask))
                if bad.num_rows:
                    aside.write_table(_marked(bad, reasons.slice(told, bad.num_rows), marked))
                told += bad.num_rows


def _batches(path: Path, table: str, kept: Mask) -> Iterator[tuple[pa.Table, Mask]]:
    schema, start = DATASET_SCHEMAS[table], 0
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
        rows = pa.Table.from_batches([batch])
        if c.ORIGIN not in rows.column_names:
            rows = rows.append_column(c.ORIGIN, pa.repeat(pa.scalar(""), rows.num_rows))
        yield rows.select(schema.names), kept[start : start + batch.num_rows]
        start += batch.num_rows


def _marked(rows: pa.Table, reasons: pa.Array, schema: pa.Schema) -> pa.Table:
    return rows.append_column(REASONS, reasons).cast(schema)


def keep_rejected(source: Path, quarantine: Path) -> pa.Table:
    """Copies the rows that ingest could not express into the quarantine and returns them."""
    path = source / REJECTED_FILE
    rejected = pq.read_table(path).cast(REJECTED_SCHEMA) if path.exists() else REJECTED_SCHEMA.empty_table()
    pq.write_table(rejected, quarantine / REJECTED_FILE, compression="zstd")
    return rejected


def seal(accepted: Path, source: dict[str, Any], rows: dict[str, int]) -> None:
    """Makes `accepted` a dataset folder: `source.json` with the new counts and the hash of what it now holds."""
    digest = hashlib.sha256()
    for name in ARROW_SCHEMAS:
        with open(accepted / f"{name}.parquet", "rb") as file:
            digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    facts = {**source, "rows": {**rows, "rejected": 0}, "hash": digest.hexdigest(), "validated": True}
    (accepted / SOURCE_FILE).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
