"""The synthetic world as a dataset folder: deterministic by seed, of any size, and always called synthetic."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.data.dataset import DATASET_SCHEMAS, REJECTED_FILE, REJECTED_SCHEMA, SOURCE_FILE, Dataset
from liverank.data.dirt import Dirt
from liverank.data.synthetic_settings import SyntheticSettings
from liverank.data.synthetic_stream import stream
from liverank.events import ARROW_SCHEMAS

PARTIAL: Final = ".partial"
"""Where a folder's files grow until they are whole."""
NOTE: Final = "Synthetic data: every item, user and event is invented."


def generate(settings: SyntheticSettings, out: Path, processes: int = 1) -> dict[str, int]:
    """Writes a synthetic dataset folder and returns its rows by table, `rejected` among them.

    Memory is bounded whatever the size; the disk holds the folder twice while it is written. With `dirt`, the folder
    also holds rows that break the contract; those that it cannot express at all are among the rejected rows, and
    `source.json` counts each kind.

    Args:
        settings: of the world; the same ones write the same bytes.
        out: the folder; its `source.json` is written last, so that a folder without one is known to be unfinished.
        processes: that generate users at the same time; no matter for what is written.
    """
    partial = out / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    (out / SOURCE_FILE).unlink(missing_ok=True)
    (partial / "aside").mkdir(parents=True)
    try:
        dirt = Dirt(settings.dirt, settings.seed)
        rows = _write(settings, partial, dirt, processes)
        names = [*(f"{name}.parquet" for name in ARROW_SCHEMAS), REJECTED_FILE]
        facts = _facts(settings, rows, dirt) | {"hash": _hash(partial, names)}
        for name in names:
            (partial / name).replace(out / name)
        _write_json(facts, out / SOURCE_FILE)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return rows


def synthetic_dataset(settings: SyntheticSettings) -> Dataset:
    """The synthetic world in memory, for small ones."""
    dirt = Dirt(settings.dirt, settings.seed)
    parts: dict[str, list[pa.Table]] = {name: [schema.empty_table()] for name, schema in ARROW_SCHEMAS.items()}
    with tempfile.TemporaryDirectory() as aside:
        for name, rows in stream(settings, Path(aside), dirt):
            parts[name].append(rows)
    facts = _facts(settings, {}, dirt)
    return Dataset(
        tables={name: pa.concat_tables(tables) for name, tables in parts.items()},
        rejected=dirt.refused(),
        notes=facts["notes"],
        source=facts["source"],
        format="synthetic",
        synthetic=True,
        generator=facts["generator"],
    )


def _write(settings: SyntheticSettings, partial: Path, dirt: Dirt, processes: int) -> dict[str, int]:
    rows: Counter[str] = Counter()
    schemas = {**DATASET_SCHEMAS, "rejected": REJECTED_SCHEMA}
    writers = {
        name: pq.ParquetWriter(partial / f"{name}.parquet", schema, compression="zstd")
        for name, schema in schemas.items()
    }
    try:
        for name, table in stream(settings, partial / "aside", dirt, processes):
            origin = pa.repeat(pa.scalar(""), table.num_rows)
            whole = table.append_column(DATASET_SCHEMAS[name].field(c.ORIGIN), origin)
            writers[name].write_table(whole.combine_chunks())
            if (refused := dirt.refused()).num_rows:
                writers["rejected"].write_table(refused)
            rows.update({name: table.num_rows, "rejected": refused.num_rows})
    finally:
        for writer in writers.values():
            writer.close()
    return {name: rows[name] for name in schemas}


def _facts(settings: SyntheticSettings, rows: dict[str, int], dirt: Dirt) -> dict[str, Any]:
    told = dirt.told()
    spoilt = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in told.items())
    return {
        "source": f"synthetic, seed {settings.seed}",
        "format": "synthetic",
        "synthetic": True,
        "rows": rows,
        "notes": [NOTE, *([f"Dirty rows were added on purpose: {spoilt}."] if told else [])],
        "generator": settings.model_dump(mode="json"),
        "dirt": told,
    }


def _hash(folder: Path, names: list[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        with (folder / name).open("rb") as file:
            digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _write_json(facts: dict[str, Any], path: Path) -> None:
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    aside = path.with_name(PARTIAL) / path.name
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
