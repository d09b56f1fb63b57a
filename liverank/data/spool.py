"""Rows on their way from the sources into a dataset folder: kept on disk, then put into order and freed of repeats."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.conform import bare_items
from liverank.data.dataset import DATASET_SCHEMAS, ORDER, REJECTED_FILE, REJECTED_SCHEMA
from liverank.data.dataset_files import ROW_GROUP, TableWriter

MEMORY: Final = "1500MB"
"""What DuckDB may hold before it spills."""
KEYS: Final = {"items": c.ITEM_ID, "users": c.USER_ID, "impressions": c.IMPRESSION_ID, "interactions": c.EVENT_ID}
"""Table name -> the id by which two sources know the same record."""
LATEST_COUNTS: Final = ("items", "users")
"""Tables in which a later source's record takes the place of an earlier one's; in the others the earlier one stays."""
BARE: Final = -1
"""Rank of items that are known by their ids alone: any source's own item takes their place."""


@dataclass
class _Run:
    """The rows of one source for one table."""

    writer: TableWriter
    path: Path
    sorted: bool = True
    last: tuple[Any, ...] | None = None

    def add(self, rows: pa.Table, keys: tuple[str, ...]) -> None:
        self.writer.write(rows)
        if self.sorted:
            first, last = ([rows.column(key)[at].as_py() for key in keys] for at in (0, rows.num_rows - 1))
            after = self.last is None or self.last <= tuple(first)
            self.sorted, self.last = after and _is_sorted(rows, keys), tuple(last)


@dataclass
class Spool:
    """Rows by table and by the rank of their source, in files below a folder; rejected rows apart."""

    folder: Path
    runs: dict[str, dict[int, _Run]] = field(default_factory=lambda: {name: {} for name in DATASET_SCHEMAS})
    reasons: Counter[str] = field(default_factory=Counter)
    """Reason -> rejected rows."""
    rejected_tables: Counter[str] = field(default_factory=Counter)
    """Table that they were meant for -> rejected rows."""
    repeats: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(table, rank of the source) -> rows left out because another source has the record."""
    _rejected: TableWriter | None = None

    def add(self, rank: int, table: str, rows: pa.Table) -> None:
        """Rows of a source, in `DATASET_SCHEMAS[table]`; ranks are in the order of the sources."""
        if rank not in self.runs[table]:
            path = self.folder / f"{table}.{rank}.parquet"
            # Rows in order need not be written again; others are, and wait in a form that is quicker to write.
            final = _is_sorted(rows, ORDER[table])
            self.runs[table][rank] = _Run(TableWriter(path, DATASET_SCHEMAS[table], final), path, final)
        self.runs[table][rank].add(rows, ORDER[table])

    def refuse(self, rows: pa.Table) -> None:
        """Rows that do not fit, in `REJECTED_SCHEMA`."""
        self._rejected = self._rejected or TableWriter(self.folder / "refused.parquet", REJECTED_SCHEMA)
        self._rejected.write(rows)
        for column, counter in (("reason", self.reasons), ("table", self.rejected_tables)):
            for entry in pc.value_counts(rows.column(column)).to_pylist():
                counter[entry["values"]] += entry["counts"]

    def close(self) -> None:
        """No more rows will come."""
        for run in (run for runs in self.runs.values() for run in runs.values()):
            run.writer.close()
        if self._rejected:
            self._rejected.close()

    def __enter__(self) -> Spool:
        """The spool itself."""
        return self

    def __exit__(self, *problem: object) -> None:
        """Lets go of files that a failure left open."""
        for run in (run for runs in self.runs.values() for run in runs.values()):
            run.writer.abandon()
        if self._rejected:
            self._rejected.abandon()

    def counts(self, table: str) -> dict[int, int]:
        """Rank of each source -> its rows."""
        return {rank: run.writer.rows for rank, run in sorted(self.runs[table].items())}

    def add_bare_items(self) -> int:
        """Items of bare ids for all that the events name; returns how many. The runs so far must be closed."""
        with _connected(self.folder) as connection:
            paths = [str(run.path) for run in self.runs["interactions"].values()]
            query = f"SELECT {c.ITEM_ID}, min({c.ORIGIN}) AS {c.ORIGIN} FROM read_parquet(?) GROUP BY 1 ORDER BY 1"
            for batch in _fetched(connection, query, [paths]) if paths else ():
                items = bare_items(batch)
                at = DATASET_SCHEMAS["items"].field(c.ORIGIN)
                self.add(BARE, "items", items.append_column(at, batch.column(c.ORIGIN).cast(pa.string())))
        return sum(run.writer.rows for rank, run in self.runs["items"].items() if rank == BARE)

    def settle(self, out: Path) -> dict[str, int]:
        """Writes each table in canonical order, once for each record that several sources have; returns the rows."""
        self.close()
        rows = {name: self._settle(name, out / f"{name}.parquet") for name in DATASET_SCHEMAS}
        return {**rows, "rejected": self._settle_rejected(out / REJECTED_FILE)}

    def _settle(self, table: str, path: Path) -> int:
        runs = [run for _, run in sorted(self.runs[table].items())]
        if len(runs) == 1 and runs[0].sorted:
            runs[0].path.rename(path)
            return runs[0].writer.rows
        with TableWriter(path, DATASET_SCHEMAS[table]) as writer, _connected(self.folder) as connection:
            for batch in _fetched(connection, *self._merged(connection, table)) if runs else ():
                writer.write(batch)
        for run in runs:
            run.path.unlink()
        return writer.rows

    def _merged(self, connection: Any, table: str) -> tuple[str, list[Any]]:
        """The query that gives the rows of all sources in order, and its parameters."""
        ranks, key = sorted(self.runs[table]), KEYS[table]
        selects, parameters = [], []
        for at, rank in enumerate(ranks):
            others = ranks[at + 1 :] if table in LATEST_COUNTS else ranks[:at]
            paths = [str(self.runs[table][other].path) for other in others]
            selects.append(
                f"SELECT *, {rank} AS run FROM read_parquet(?, file_row_number=true)"
                + (f" ANTI JOIN (SELECT {key} FROM read_parquet(?)) USING ({key})" if paths else "")
            )
            found = [[str(self.runs[table][rank].path)], *([paths] if paths else [])]
            parameters += found
            if paths:
                self._count_repeats(connection, table, rank, found)
        names = ", ".join(DATASET_SCHEMAS[table].names)
        order = ", ".join((*ORDER[table], "run", "file_row_number"))
        return f"SELECT {names} FROM ({' UNION ALL '.join(selects)}) ORDER BY {order}", parameters

    def _count_repeats(self, connection: Any, table: str, rank: int, paths: list[list[str]]) -> None:
        key = KEYS[table]
        query = f"SELECT count(*) FROM read_parquet(?) SEMI JOIN (SELECT {key} FROM read_parquet(?)) USING ({key})"
        self.repeats[table, rank] = connection.sql(query, params=paths).fetchall()[0][0]

    def _settle_rejected(self, path: Path) -> int:
        names = ", ".join(f'"{name}"' for name in REJECTED_SCHEMA.names)
        with TableWriter(path, REJECTED_SCHEMA) as writer:
            if self._rejected:
                spooled = str(self.folder / "refused.parquet")
                with _connected(self.folder) as connection:
                    query = f"SELECT {names} FROM read_parquet(?) ORDER BY {names}"
                    for batch in _fetched(connection, query, [spooled]):
                        writer.write(batch)
        return writer.rows


def _is_sorted(rows: pa.Table, keys: tuple[str, ...]) -> bool:
    """Whether no row comes before its predecessor, by the keys in turn."""
    if rows.num_rows < 2:
        return True
    equal: Any = True
    for key in keys:
        column = rows.column(key).combine_chunks()
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        wrong = pc.and_(equal, pc.greater(before, after)) if equal is not True else pc.greater(before, after)
        if pc.any(wrong).as_py():
            return False
        equal = pc.equal(before, after) if equal is True else pc.and_(equal, pc.equal(before, after))
    return True


@contextmanager
def _connected(folder: Path) -> Iterator[Any]:
    import duckdb

    spill = folder / "spill"
    settings = {"temp_directory": str(spill), "memory_limit": MEMORY}
    try:
        with duckdb.connect(config=settings) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _fetched(connection: Any, query: str, parameters: list[Any]) -> Iterator[pa.Table]:
    for batch in connection.sql(query, params=parameters).to_arrow_reader(ROW_GROUP):
        yield pa.Table.from_batches([batch])
