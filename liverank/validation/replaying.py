"""Quarantined rows judged again, after a fix: what passes joins the next run, the rest stays where it is.

The quarantine of a run is never changed: it says what became of the source then. What passes is appended to the folder
`replayed` of the workspace, in files that are complete when they appear; a row whose id is there already is no news, so
that a second replay changes nothing.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.config import Config
from liverank.config.replayed_data import FOLDER
from liverank.data.dataset import DATASET_SCHEMAS, REJECTED_FILE, REJECTED_SCHEMA
from liverank.data.replayed_rows import erased_users, of_erased
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS
from liverank.validation import history
from liverank.validation.engine import quoted
from liverank.validation.partition import REASONS
from liverank.validation.requalify import conformed, reconformed
from liverank.validation.run import prepared

IDS: Final = {"items": c.ITEM_ID, "users": c.USER_ID, "impressions": c.IMPRESSION_ID, "interactions": c.EVENT_ID}
_CONTEXT: Final = "\x00accepted"
"""Origin of the rows that only say what is known already."""
ERASED: Final = "the user was erased"
"""Why a row of a user whom the live store has erased is not replayed."""
Tables = dict[str, pa.Table]


@dataclass
class Replayed:
    """What a replay did."""

    quarantine: Path
    folder: Path
    passed: dict[str, int] = field(default_factory=dict)
    """Table -> rows written."""
    already: int = 0
    """Rows that an earlier replay had written."""
    left: Counter[str] = field(default_factory=Counter)
    """Reason -> rows that still do not pass; a row with two reasons counts in both."""
    rows_left: int = 0


def replay(config: Config, quarantine: Path | None, accepted: Path | None, now: datetime) -> Replayed:
    """Judges the rows of a quarantine with the present configuration and what is accepted now.

    Args:
        config: the whole configuration; its workspace has the history of validations and the folder `replayed`.
        quarantine: the folder that a validation wrote; None: that of the workspace's last validation.
        accepted: the dataset that the rows would join; None: that of the workspace's last run that passed.
        now: the time, with a zone.

    Raises:
        DataError: there is no such folder, or a file in it cannot be read.
    """
    records = history.recall(config.workspace_path / "validation")
    quarantine = quarantine or _latest(records, "quarantine")
    accepted = accepted or _latest([one for one in records if one["ok"]], "accepted")
    done = Replayed(quarantine, config.workspace_path / FOLDER)
    candidates = _candidates(config, quarantine, done)
    if any(table.num_rows for table in candidates.values()):
        with tempfile.TemporaryDirectory(prefix=".replay-", dir=_made(config.workspace_path)) as scratch:
            passed = _judged(config, candidates, [accepted, done.folder], Path(scratch), now, done)
            for table, rows in passed.items():
                _append(rows, table, done.folder, Path(scratch))
                done.passed[table] = rows.num_rows
    return done


def _latest(records: list[history.Record], name: str) -> Path:
    for record in reversed(records):
        path = Path(str(record.get(name, "")))
        if record.get(name) and path.is_dir():
            return path
    raise DataError(
        f"This workspace has no validation whose {name} rows are still there.",
        "Run `liverank run` first, or name the folder.",
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _candidates(config: Config, quarantine: Path, done: Replayed) -> Tables:
    """The quarantined rows that the contract can express and that no earlier replay wrote."""
    if not any((quarantine / f"{name}.parquet").is_file() for name in (*ARROW_SCHEMAS, "rejected")):
        raise DataError(f"{quarantine} holds no quarantine.", "Name the folder that a validation wrote.")
    found: dict[str, list[pa.Table]] = {name: [DATASET_SCHEMAS[name].empty_table()] for name in ARROW_SCHEMAS}
    parts = [conformed(config.data, name, _read(quarantine / f"{name}.parquet")) for name in ARROW_SCHEMAS]
    rejected = _read(quarantine / REJECTED_FILE)
    if rejected.num_rows:
        parts += reconformed(config.data, rejected.select(REJECTED_SCHEMA.names))
    erased = erased_users(config.data.live_store)
    for part in parts:
        gone = of_erased(part.rows, erased)
        found[part.table].append(part.rows.filter(pc.invert(gone)))
        done.left.update([*part.reasons, *[ERASED] * (pc.sum(gone).as_py() or 0)])
        done.rows_left = done.left.total()
    return {name: _news(name, pa.concat_tables(rows), done) for name, rows in found.items()}


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        return pa.table({})
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as problem:
        raise DataError(f"{path} cannot be read: {problem}.", "A quarantine has Parquet files.") from problem


def _news(name: str, rows: pa.Table, done: Replayed) -> pa.Table:
    known = pa.concat_arrays([pa.array([], pa.string()), *_replayed_ids(name, done.folder)])
    old = pc.is_in(rows[IDS[name]], known)
    done.already += pc.sum(old).as_py() or 0
    return rows.filter(pc.invert(old))


def _replayed_ids(name: str, folder: Path) -> Iterator[pa.Array]:
    for file in sorted(folder.glob(f"{name}-*.parquet")):
        yield pq.read_table(file, columns=[IDS[name]])[IDS[name]].combine_chunks()


def _judged(
    config: Config, candidates: Tables, known: list[Path], scratch: Path, now: datetime, done: Replayed
) -> Tables:
    """The candidates that pass, judged after the rows that are known of the same ids, items and lists."""
    dataset = _made(scratch / "dataset")
    for name, rows in candidates.items():
        context = _context(name, candidates, known)
        pq.write_table(pa.concat_tables([context, rows]), dataset / f"{name}.parquet")
    # What judges a dataset as a whole has nothing to say of a handful of rows.
    limits = config.validation.model_copy(update={"max_set_aside": 1.0, "sample_rows": 0})
    prepared(dataset, limits, config.data, scratch / "accepted", scratch / "aside", now, {}).judge()
    passed: Tables = {}
    for name in candidates:
        good, bad = (_mine(pq.read_table(scratch / part / f"{name}.parquet")) for part in ("accepted", "aside"))
        if good.num_rows:
            passed[name] = good
        done.rows_left += bad.num_rows
        done.left.update(pc.list_flatten(bad[REASONS]).to_pylist())
    return passed


def _mine(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.not_equal(rows[c.ORIGIN], _CONTEXT))


def _context(name: str, candidates: Tables, known: list[Path]) -> pa.Table:
    """What is accepted or replayed already and bears on the candidates: every item, and what shares an id with them."""
    schema, key = DATASET_SCHEMAS[name], IDS[name]
    wanted = [candidates[name][key]]
    if name == "impressions":
        wanted.append(candidates["interactions"][c.IMPRESSION_ID])
    ids = pa.table({"id": pa.chunked_array([chunk for column in wanted for chunk in column.chunks], pa.string())})
    parts = [_matching(file, name, ids) for folder in known for file in sorted(folder.glob(f"{name}*.parquet"))]
    return pa.concat_tables([schema.empty_table(), *parts])


def _matching(file: Path, name: str, ids: pa.Table) -> pa.Table:
    import duckdb

    # What an earlier version wrote lacks the columns that the contract got since.
    there = set(pq.read_schema(file).names)
    columns = ", ".join(column for column in ARROW_SCHEMAS[name].names if column in there)
    narrowed = "" if name == "items" else f"SEMI JOIN ids ON {IDS[name]} = id"
    with duckdb.connect() as connection:
        connection.register("ids", ids)
        found = connection.sql(f"SELECT {columns} FROM read_parquet({quoted(file)}) {narrowed}").to_arrow_table()
    for column in DATASET_SCHEMAS[name]:
        if column.name not in found.column_names and column.name != c.ORIGIN:
            found = found.append_column(column, pa.nulls(found.num_rows, column.type))
    found = found.append_column(c.ORIGIN, pa.repeat(pa.scalar(_CONTEXT), found.num_rows))
    return found.select(DATASET_SCHEMAS[name].names).cast(DATASET_SCHEMAS[name])


def _append(rows: pa.Table, name: str, folder: Path, scratch: Path) -> None:
    """One more file, named by its content: two replays beside each other write the same."""
    content = io.BytesIO()
    pq.write_table(rows.select(ARROW_SCHEMAS[name].names).combine_chunks(), content, compression="zstd")
    segment = f"{name}-{hashlib.sha256(content.getvalue()).hexdigest()[:12]}.parquet"
    (scratch / segment).write_bytes(content.getvalue())
    (scratch / segment).replace(_made(folder) / segment)
