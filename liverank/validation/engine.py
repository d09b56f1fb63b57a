"""The rows of a dataset folder in DuckDB, and which of them fail which check; memory is bounded, the rest spills.

Only failing rows are kept: `<table>_failed (row, place)` names a row by its number in the file and a check by its place
among the table's checks. Ten million clean rows leave an empty table.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.data import languages
from liverank.data.dataset import DATASET_SCHEMAS
from liverank.validation import flags
from liverank.validation.checks import Check

MEMORY: Final = "1500MB"
"""What DuckDB may hold before it spills."""
_INSTANTS: Final = (c.TIMESTAMP, c.RECEIVED_AT, c.AVAILABLE_FROM)


def quoted(path: Path) -> str:
    """A path as an SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


@contextmanager
def opened(dataset: Path, spill: Path) -> Iterator[Engine]:
    """An engine whose spilled blocks are gone afterwards."""
    import duckdb

    settings = {"temp_directory": str(spill), "memory_limit": MEMORY, "preserve_insertion_order": "false"}
    try:
        with duckdb.connect(config=settings) as connection:
            # Hours and days are UTC's, whatever the machine's zone.
            connection.execute("SET TimeZone = 'UTC'")
            yield Engine(connection, dataset)
    finally:
        shutil.rmtree(spill, ignore_errors=True)


class Engine:
    """One dataset folder under judgment; tables are taken one after the other."""

    def __init__(self, connection: Any, dataset: Path) -> None:
        self.connection = connection
        self.dataset = dataset
        self.values: dict[str, Any] = {}
        """The parameters that flags and joins may name."""

    def take(self, table: str) -> None:
        """Makes `<table>_rows`, its columns as the contract has them with `row`, and an empty `<table>_failed`."""
        path = self.dataset / f"{table}.parquet"
        present = pq.read_schema(path).names
        columns = ", ".join(_column(name, present) for name in DATASET_SCHEMAS[table].names)
        self.connection.execute(
            f"CREATE VIEW {table}_rows AS SELECT file_row_number AS row, {columns} "
            f"FROM read_parquet({quoted(path)}, file_row_number = true)"
        )
        self.connection.execute(f"CREATE TEMP TABLE {table}_failed (row BIGINT, place SMALLINT)")
        self.connection.execute(f"CREATE TEMP TABLE {table}_barred (row BIGINT)")
        self.connection.execute(
            f"CREATE VIEW {table}_left AS SELECT * FROM {table}_rows ANTI JOIN {table}_barred USING (row)"
        )

    def tell_scripts(self) -> None:
        """Makes `items_script (row, script)`."""
        self.connection.execute(f"CREATE TEMP TABLE items_script AS {flags.scripts('items_rows')}")

    def tell_languages(self) -> None:
        """Makes `items_language (item_id, words, language)` of a sample of the items that are not barred."""
        chosen = self.connection.sql(languages.sample("items_left")).to_arrow_table()
        told = [languages.language(words) for words in chosen["words"].to_pylist()]
        told_of = chosen.append_column("language", pa.array(told, pa.string()))
        self.connection.register("items_told", told_of)
        self.connection.execute("CREATE TEMP TABLE items_language AS SELECT * FROM items_told")
        self.connection.unregister("items_told")

    def run(self, sql: str) -> Any:
        """Executes a statement with those of the parameters that it names."""
        return self.connection.execute(sql, {name: value for name, value in self.values.items() if f"${name}" in sql})

    def flag(self, table: str, rules: Mapping[int, str]) -> None:
        """Notes the rows that fail flags of their own row, in one pass over the file; place -> flag."""
        if not rules:
            return
        cases = ", ".join(f"CASE WHEN NOT {flag} THEN {place} END" for place, flag in rules.items())
        whole = " AND ".join(rules.values())
        failing = f"list_filter([{cases}], lambda place: place IS NOT NULL)"
        self.run(f"INSERT INTO {table}_failed SELECT row, unnest({failing}) FROM {table}_rows WHERE NOT ({whole})")

    def fail(self, table: str, place: int, query: str) -> None:
        """Notes the rows that a query of `joins` gives."""
        self.run(f"INSERT INTO {table}_failed SELECT row, {place} FROM ({query})")

    def bar(self, table: str, places: Sequence[int]) -> None:
        """Makes `<table>_barred` the rows that fail one of the checks at these places."""
        chosen = ", ".join(map(str, places)) or "-1"
        self.connection.execute(f"DELETE FROM {table}_barred")
        self.connection.execute(
            f"INSERT INTO {table}_barred SELECT DISTINCT row FROM {table}_failed WHERE place IN ({chosen})"
        )

    def remember(self, table: str, column: str) -> None:
        """Makes `known_<table>`, the ids of the rows that are not barred."""
        self.connection.execute(
            f"CREATE TEMP TABLE known_{table} AS SELECT DISTINCT {column} AS id FROM {table}_left "
            f"WHERE {column} IS NOT NULL"
        )

    def remember_lists(self) -> None:
        """Makes `lists`, what the checks on answers need of the impressions that are not barred."""
        self.connection.execute(
            "CREATE VIEW lists AS SELECT impression_id, user_id, timestamp, "
            "list_transform(shown, lambda line: line.item_id) AS items FROM impressions_left"
        )

    def counts(self, table: str) -> dict[int, int]:
        """Place -> failing rows, where there are any."""
        return dict(self.connection.execute(f"SELECT place, count(*) FROM {table}_failed GROUP BY place").fetchall())

    def by_origin(self, table: str) -> list[tuple[str, int, int]]:
        """Origin, place and number of the failing rows."""
        found = self.connection.execute(
            f"SELECT origin, place, count(*) FROM {table}_rows JOIN {table}_failed USING (row) GROUP BY ALL"
        )
        return sorted(found.fetchall())

    def origins(self, table: str) -> dict[str, tuple[int, int]]:
        """Origin -> rows and barred rows."""
        rows = dict(self.connection.execute(f"SELECT origin, count(*) FROM {table}_rows GROUP BY ALL").fetchall())
        barred = dict(
            self.connection.execute(
                f"SELECT origin, count(*) FROM {table}_rows SEMI JOIN {table}_barred USING (row) GROUP BY ALL"
            ).fetchall()
        )
        return {name: (count, barred.get(name, 0)) for name, count in sorted(rows.items())}

    def aside(self, table: str, checks: Sequence[Check]) -> pa.Table:
        """The barred rows in order: `row`, and `reasons`, the names of the checks that bar it."""
        places = ", ".join(str(place) for place, check in enumerate(checks) if check.bars) or "-1"
        found = (
            self.connection.sql(
                f"SELECT row, list(place ORDER BY place) AS places FROM (SELECT DISTINCT * FROM {table}_failed "
                f"WHERE place IN ({places})) GROUP BY row ORDER BY row"
            )
            .to_arrow_table()
            .combine_chunks()
        )
        return _named(found, [check.name for check in checks])


def _column(name: str, present: Sequence[str]) -> str:
    if name not in present:
        return f"'' AS {name}" if name == c.ORIGIN else f"NULL AS {name}"
    return f"{name}::TIMESTAMPTZ AS {name}" if name in _INSTANTS else name


def _named(found: pa.Table, names: Sequence[str]) -> pa.Table:
    """Places as a list of names; only the few different ones are kept as text until they are written."""
    if not found.num_rows:
        return pa.table({"row": pa.array([], pa.int64()), "reasons": pa.array([], pa.list_(pa.string()))})
    lists = found["places"].chunk(0)
    reasons = pa.DictionaryArray.from_arrays(lists.values.cast(pa.int32()), pa.array(names, pa.string()))
    return pa.table({"row": found["row"], "reasons": pa.ListArray.from_arrays(lists.offsets, reasons)})
