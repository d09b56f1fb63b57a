"""A dataset folder: the contract's four tables as Parquet, the rows that do not fit it, and where they came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.data.dataset_files import TableWriter, content_hash, growing
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS

REJECTED_FILE: Final = "rejected.parquet"
SOURCE_FILE: Final = "source.json"
REJECTED_SCHEMA: Final = pa.schema(
    [
        ("table", pa.string()),
        ("row", pa.string()),
        ("reason", pa.string()),
        (c.ORIGIN, pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
    ]
)
"""Rows that the contract cannot express: the table they were meant for, the row as JSON text, why, and where it stood
(the source's name, the file within it, its line from 1; null where unknown)."""

DATASET_SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    name: schema.append(pa.field(c.ORIGIN, pa.string(), nullable=False)) for name, schema in ARROW_SCHEMAS.items()
}
"""Table name -> schema of its file in a dataset folder: the contract's columns and the source that each row is from."""

ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "items": (c.ITEM_ID,),
    "users": (c.USER_ID,),
    "impressions": (c.TIMESTAMP, c.IMPRESSION_ID),
    "interactions": (c.TIMESTAMP, c.EVENT_ID),
}
"""Table name -> the columns its rows are sorted by; equal rows keep the source's order."""


@dataclass
class Dataset:
    """The four tables of the contract in memory, with the rows that did not fit and what is known of the source."""

    tables: dict[str, pa.Table]
    rejected: pa.Table = field(default_factory=lambda: REJECTED_SCHEMA.empty_table())
    notes: list[str] = field(default_factory=list)
    source: str = ""
    format: str = "contract"
    synthetic: bool = False
    generator: dict[str, Any] = field(default_factory=dict)
    """The settings of the synthetic generator, where that made it."""

    def rows(self) -> dict[str, int]:
        """Table name -> number of rows, rejected ones under `rejected`."""
        return {**{name: self.tables[name].num_rows for name in ARROW_SCHEMAS}, "rejected": self.rejected.num_rows}

    def facts(self) -> dict[str, Any]:
        """What `source.json` says, but for the hash."""
        return {
            "source": self.source,
            "format": self.format,
            "synthetic": self.synthetic,
            "rows": self.rows(),
            "notes": self.notes,
            **({"generator": self.generator} if self.generator else {}),
        }


def empty_tables() -> dict[str, pa.Table]:
    """The four tables without a row."""
    return {name: schema.empty_table() for name, schema in ARROW_SCHEMAS.items()}


def rejected_rows(
    table: str, raw: pa.Table, reasons: pa.Array, file: str | None = None, lines: pa.Array | None = None
) -> pa.Table:
    """Rows of `raw` as rejected rows.

    Args:
        table: the one they were meant for.
        raw: the rows as read.
        reasons: one a row.
        file: where they stood, for people.
        lines: the line of each in the file, from 1.
    """
    text = raw.to_pandas().to_json(orient="records", lines=True, force_ascii=False, date_format="iso")
    rows = [line for line in text.split("\n") if line] if raw.num_rows else []
    return pa.table(
        {
            "table": pa.repeat(pa.scalar(table), len(rows)),
            "row": pa.array(rows, pa.string()),
            "reason": reasons,
            c.ORIGIN: pa.nulls(len(rows), pa.string()),
            "file": pa.array([file] * len(rows), pa.string()),
            "line": pa.nulls(len(rows), pa.int64()) if lines is None else lines,
        },
        schema=REJECTED_SCHEMA,
    )


def ordered(table: pa.Table, name: str) -> pa.Table:
    """The rows in the table's canonical order."""
    keys = [(key, "ascending") for key in ORDER[name]]
    position = pa.array(range(table.num_rows), pa.int64())
    indices = pc.sort_indices(table.append_column("", position), [*keys, ("", "ascending")])
    return table.take(indices)


def write_dataset(dataset: Dataset, folder: Path) -> str:
    """Writes a dataset folder, whole or not at all, and returns its hash, which depends on nothing but the rows."""
    with growing(folder, SOURCE_FILE) as partial:
        for name in ARROW_SCHEMAS:
            with TableWriter(partial / f"{name}.parquet", DATASET_SCHEMAS[name]) as writer:
                writer.write(ordered(_with_origin(dataset.tables[name], ARROW_SCHEMAS[name]), name))
        with TableWriter(partial / REJECTED_FILE, REJECTED_SCHEMA) as writer:
            rejected = dataset.rejected.select(REJECTED_SCHEMA.names)
            writer.write(rejected.sort_by([(name, "ascending") for name in REJECTED_SCHEMA.names]))
        return write_facts(partial, dataset.facts())


def write_facts(folder: Path, facts: Mapping[str, Any]) -> str:
    """Completes a folder by its `source.json`, with the hash of its rows; returns the hash."""
    digest = content_hash(folder, list(ARROW_SCHEMAS), Path(REJECTED_FILE).stem)
    text = json.dumps({**facts, "hash": digest}, indent=2, ensure_ascii=False) + "\n"
    (folder / SOURCE_FILE).write_text(text, encoding="utf-8")
    return digest


def _with_origin(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The contract's columns and the origin of each row, empty where the table says none."""
    rows = table.select(schema.names).cast(schema)
    known = c.ORIGIN in table.column_names
    origin = table[c.ORIGIN] if known else pa.repeat(pa.scalar(""), table.num_rows)
    return rows.append_column(pa.field(c.ORIGIN, pa.string(), nullable=False), origin)


def read_source(folder: Path) -> dict[str, Any]:
    """What `source.json` of a dataset folder says.

    Raises:
        DataError: it is missing or no JSON object.
    """
    path = folder / SOURCE_FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DataError(
            f"{folder} is not a dataset folder: {SOURCE_FILE} cannot be read ({problem}).",
            "Write the folder anew with the ingest step or `liverank data generate`.",
        ) from problem
    if not isinstance(facts, dict):
        raise DataError(f"{path} must hold a JSON object.", "Write the folder anew with the ingest step.")
    return facts


def read_dataset(folder: Path) -> Dataset:
    """A dataset folder in memory.

    Raises:
        DataError: a file is missing, unreadable or not in the contract's schema; the message names it.
    """
    facts = read_source(folder)
    rejected = folder / REJECTED_FILE
    return Dataset(
        tables={name: read_table(folder, name) for name in ARROW_SCHEMAS},
        rejected=pq.read_table(rejected) if rejected.exists() else REJECTED_SCHEMA.empty_table(),
        notes=list(facts.get("notes", ())),
        source=str(facts.get("source", "")),
        format=str(facts.get("format", "contract")),
        synthetic=bool(facts.get("synthetic", False)),
        generator=dict(facts.get("generator", {})),
    )


def read_table(folder: Path, name: str) -> pa.Table:
    """One table of a dataset folder, in the contract's schema.

    Raises:
        DataError: the file is missing, unreadable or has other columns.
    """
    path = folder / f"{name}.parquet"
    try:
        return pq.read_table(path).select(ARROW_SCHEMAS[name].names).cast(ARROW_SCHEMAS[name])
    except (OSError, pa.ArrowException, KeyError, ValueError) as problem:
        raise DataError(
            f"{path} cannot be read as the contract's {name}: {problem}.",
            "Write the folder anew with the ingest step or `liverank data generate`.",
        ) from problem
