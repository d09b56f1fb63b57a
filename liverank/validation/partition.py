"""Every row goes to one of two places: the accepted dataset, or the quarantine with the reasons."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.data.dataset import DATASET_SCHEMAS, REJECTED_FILE, REJECTED_SCHEMA, SOURCE_FILE
from liverank.events import ARROW_SCHEMAS

BATCH_ROWS = 65_536
REASONS = "reasons"


def quarantine_schema(table: str) -> pa.Schema:
    """The schema of a table's file in the quarantine: what is missing may be the very reason, so all may be null."""
    loose = [field.with_nullable(True) for field in DATASET_SCHEMAS[table]]
    return pa.schema([*loose, pa.field(REASONS, pa.list_(pa.string()))])


def part(source: Path, table: str, aside: pa.Table, accepted: Path, quarantine: Path) -> None:
    """Writes the rows set aside, with their reasons, to `quarantine` and the others to `accepted`; batch by batch.

    Args:
        source: the dataset folder.
        table: name of the table.
        aside: the rows set aside, as `Engine.aside` gives them.
        accepted: an existing folder.
        quarantine: an existing folder.
    """
    path, schema = source / f"{table}.parquet", DATASET_SCHEMAS[table]
    untouched = not aside.num_rows and pq.read_schema(path).equals(schema)
    if untouched:
        shutil.copyfile(path, accepted / path.name)
    with pq.ParquetWriter(quarantine / path.name, quarantine_schema(table), compression="zstd") as bad:
        if untouched:
            return
        with pq.ParquetWriter(accepted / path.name, schema, compression="zstd") as good:
            for rows, mask, reasons in _batches(path, table, aside):
                good.write_table(rows.filter(pa.array(~mask)).cast(schema) if mask.any() else rows.cast(schema))
                if len(reasons):
                    marked = rows.filter(pa.array(mask)).append_column(REASONS, reasons)
                    bad.write_table(marked.cast(quarantine_schema(table)))


def _batches(path: Path, table: str, aside: pa.Table) -> Iterator[tuple[pa.Table, Any, pa.Array]]:
    """Rows, which of them are set aside, and the reasons of those."""
    schema, start, told = DATASET_SCHEMAS[table], 0, 0
    numbers, reasons = aside["row"].to_numpy(), aside[REASONS].combine_chunks()
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
        rows = pa.Table.from_batches([batch])
        if c.ORIGIN not in rows.column_names:
            rows = rows.append_column(c.ORIGIN, pa.repeat(pa.scalar(""), rows.num_rows))
        until = int(np.searchsorted(numbers, start + rows.num_rows))
        mask = np.zeros(rows.num_rows, bool)
        mask[numbers[told:until] - start] = True
        yield rows.select(schema.names), mask, _text(reasons.slice(told, until - told))
        start, told = start + rows.num_rows, until


def _text(reasons: pa.ListArray) -> pa.Array:
    """Lists of dictionary keys as lists of text."""
    values = reasons.flatten()
    lengths = np.diff(reasons.offsets.to_numpy())
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    words = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    return pa.ListArray.from_arrays(offsets, words.cast(pa.string()))


def keep_rejected(source: Path, quarantine: Path) -> Path:
    """Copies the rows that ingest could not express into the quarantine and returns the file."""
    path, copy = source / REJECTED_FILE, quarantine / REJECTED_FILE
    if path.exists() and pq.read_schema(path).equals(REJECTED_SCHEMA):
        shutil.copyfile(path, copy)
        return copy
    with pq.ParquetWriter(copy, REJECTED_SCHEMA, compression="zstd") as kept:
        for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS) if path.exists() else ():
            kept.write_table(_completed(pa.Table.from_batches([batch])))
    return copy


def _completed(rows: pa.Table) -> pa.Table:
    for field in REJECTED_SCHEMA:
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(REJECTED_SCHEMA.names).cast(REJECTED_SCHEMA)


def seal(accepted: Path, source: dict[str, Any], rows: dict[str, int]) -> str:
    """Makes `accepted` a dataset folder: `source.json` with the new counts and the hash of what it now holds."""
    digest = hashlib.sha256()
    for name in ARROW_SCHEMAS:
        with open(accepted / f"{name}.parquet", "rb") as file:
            digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    facts = {**source, "rows": {**rows, "rejected": 0}, "hash": digest.hexdigest(), "validated": True}
    (accepted / SOURCE_FILE).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return digest.hexdigest()
