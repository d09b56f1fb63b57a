"""Reads files that follow the data contract, plain CSV files of clicks among them."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.conform import Conformed, conform
from liverank.data.dataset import Dataset, empty_tables, read_dataset
from liverank.data.files import RawFile, header, locate, read_raw
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS

RECORD: Final = "record"
TAGS: Final = {"item": "items", "user": "users", "impression": "impressions", "interaction": "interactions"}
NO_ZONE_HINT = (
    "Write times as 2026-01-31T12:00:00Z or with +01:00 at the end, or set data.timezone to the zone they are in "
    "(e.g. Europe/Paris)."
)


def read_contract(source: str, timezone: str = "") -> Dataset:
    """The records of a file, a folder or a glob.

    A file's table is told by its name (items, users, impressions, interactions, also with a suffix such as
    `interactions-2026-01`), by the `record` tag of its rows, or by its columns.

    Raises:
        DataError: nothing to read, an unreadable file, a missing column, or a file of which no row can be read.
    """
    files, others = locate(source)
    dataset = Dataset(empty_tables(), source=Path(source).name)
    _carry_over(Path(source).expanduser(), dataset)
    for file in others:
        dataset.notes.append(f"{file.name} was not read: it is no data file.")
    for file in files:
        _read_file(file, dataset, timezone)
    _add_missing_items(dataset)
    return dataset


def _carry_over(folder: Path, dataset: Dataset) -> None:
    """What a dataset folder knows of itself stays true when it is read as a source."""
    if (folder / "source.json").is_file():
        known = read_dataset(folder)
        dataset.notes, dataset.rejected = known.notes, known.rejected
        dataset.synthetic, dataset.generator = known.synthetic, known.generator
        dataset.source = known.source or dataset.source


def _read_file(file: Path, dataset: Dataset, timezone: str) -> None:
    raw = read_raw(file)
    rejected, accepted, unzoned = [raw.rejected], 0, 0
    for table, rows in split_by_table(raw).items():
        part: Conformed = conform(rows, table, str(file), timezone)
        dataset.tables[table] = pa.concat_tables([dataset.tables[table], part.rows])
        rejected.append(part.rejected)
        accepted, unzoned = accepted + part.rows.num_rows, unzoned + part.unzoned
        _note_ignored(rows, table, file, dataset)
    refused = pa.concat_tables(rejected)
    _refuse_hopeless(file, accepted, unzoned, refused)
    dataset.rejected = pa.concat_tables([dataset.rejected, refused])


def _refuse_hopeless(file: Path, accepted: int, unzoned: int, rejected: pa.Table) -> None:
    if accepted or not rejected.num_rows:
        return
    if unzoned == rejected.num_rows:
        raise DataError(f"{file}: the column {c.TIMESTAMP} has no zone in any of its {unzoned:,} rows.", NO_ZONE_HINT)
    first = rejected.slice(0, 1).to_pylist()[0]
    raise DataError(
        f"None of the {rejected.num_rows:,} rows of {file} follows the data contract; the first: "
        f"{first['reason']} in {first['row'][:200]}.",
        "docs/contract.md lists the fields of each record.",
    )


def _note_ignored(rows: pa.Table, table: str, file: Path, dataset: Dataset) -> None:
    known = ARROW_SCHEMAS[table].names
    for name in rows.column_names:
        # JSON lines of several tables share their columns: only one that has values here counts.
        if name in known or name == RECORD or rows.column(name).null_count == rows.num_rows:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        guess = f"; did you mean {near[0]}?" if near else "."
        dataset.notes.append(f"{file.name}: the column {name} is not in the contract and was not read{guess}")


def split_by_table(raw: RawFile) -> dict[str, pa.Table]:
    """The rows of a file for each table that they belong to.

    Raises:
        DataError: neither name, tag nor columns say which table it is.
    """
    if RECORD in raw.rows.column_names:
        return _by_tag(raw)
    return {table_of(raw.path, raw.rows.column_names): raw.rows} if raw.rows.column_names else {}


def _by_tag(raw: RawFile) -> dict[str, pa.Table]:
    tags = raw.rows.column(RECORD)
    found = {str(tag): tags for tag in pc.unique(tags).to_pylist()}
    unknown = sorted(set(found) - set(TAGS))
    if unknown:
        raise DataError(f"{raw.path} has rows whose {RECORD} is {unknown[0]!r}.", f"Expected one of {', '.join(TAGS)}.")
    return {TAGS[tag]: raw.rows.filter(pc.equal(tags, tag)) for tag in sorted(found)}


def table_of(path: Path, names: list[str]) -> str:
    """The contract's table that a file holds, by its name or its columns.

    Raises:
        DataError: neither tells; the message lists the columns found.
    """
    for part in (path.stem.lower(), path.parent.name.lower()):
        for table in ARROW_SCHEMAS:
            if re.fullmatch(rf"{table}([^a-z].*)?", part):
                return table
    columns = set(names)
    if {c.USER_ID, c.ITEM_ID} <= columns:
        return "interactions"
    if c.SHOWN in columns:
        return "impressions"
    if c.ITEM_ID in columns:
        return "items"
    if c.USER_ID in columns and c.TIMESTAMP not in columns:
        return "users"
    raise DataError(
        f"{path} is no table of the data contract: found the columns {', '.join(names)}.",
        "Expected user_id, item_id, timestamp[, type] for events, or item_id[, title, text, category] for items.",
    )


def _add_missing_items(dataset: Dataset) -> None:
    """A source without any catalogue gets one of bare ids, so that a plain file of clicks is enough to start."""
    if dataset.tables["items"].num_rows or "items" in dataset.rejected.column("table").to_pylist():
        return
    ids = pc.unique(dataset.tables["interactions"].column(c.ITEM_ID).combine_chunks())
    if len(ids):
        bare = conform(pa.table({c.ITEM_ID: ids}), "items", "the interactions")
        dataset.tables["items"] = bare.rows
        dataset.notes.append(
            f"The source has no items: {len(ids):,} item ids were taken from the interactions, without any text."
        )


def guess_format(source: str) -> str:
    """`online-retail` or `contract`, by the columns of the first file.

    Raises:
        DataError: there is nothing to read.
    """
    from liverank.data.online_retail import COLUMNS

    files, _ = locate(source)
    return "online-retail" if set(COLUMNS) <= set(header(files[0])) else "contract"
