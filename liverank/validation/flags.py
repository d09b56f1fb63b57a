"""The boolean columns that the suites judge: DuckDB computes them over the dataset's files, one table a dataset table.

A flag is an SQL expression over the rows of one file, with its columns and `file_row_number`; it is never null and true
where the row is as it should be. Flags may name the parameters `$types` (known event types), `$latest` and `$earliest`
(microseconds since 1970) and the tables `known_items (id)`, `known_impressions (id)` and `strange_lists (row)`.
A missing value fails only the check on its presence, not every other check as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROW = "row"
REASONS = "reasons"


def identifier(column: str) -> str:
    """An id of the contract: 1 to 256 characters, not only blanks."""
    return f"({filled(column)} AND length({column}) <= 256)"


def filled(column: str) -> str:
    """Neither null nor blank."""
    return f"(coalesce(trim({column}), '') <> '')"


def first(column: str) -> str:
    """The first row of its id, in the file's order."""
    place = f"row_number() OVER (PARTITION BY {column} ORDER BY file_row_number)"
    return f"(NOT {filled(column)} OR {place} = 1)"


def not_after(limit: str) -> str:
    """At most `limit`."""
    return f"coalesce(epoch_us(timestamp::TIMESTAMPTZ) <= {limit}, true)"


def not_before(limit: str) -> str:
    """At least `limit`."""
    return f"coalesce(epoch_us(timestamp::TIMESTAMPTZ) >= {limit}, true)"


def among(column: str, table: str) -> str:
    """In the ids of `table`."""
    return f"(NOT {filled(column)} OR {column} IN (SELECT id FROM {table}))"


def listed(column: str, values: str) -> str:
    """In a list parameter."""
    return f"(NOT {filled(column)} OR coalesce(list_contains({values}, {column}), false))"


def finite(column: str) -> str:
    """Neither infinite nor NaN."""
    return f"coalesce(isfinite({column}), true)"


def each_shown(condition: str) -> str:
    """Every `line` of the shown list meets the condition."""
    return f"(coalesce(len(list_filter(shown, lambda line: NOT coalesce({condition}, false))), 0) = 0)"


def distinct_shown() -> str:
    """The shown list holds no item twice."""
    ids = "list_filter(list_transform(shown, lambda line: line.item_id), lambda id: id IS NOT NULL)"
    return f"coalesce(len(list_distinct({ids})) = len({ids}), true)"


def propensities() -> str:
    """Every propensity of the shown list is null or in (0, 1]."""
    return each_shown("line.propensity IS NULL OR (line.propensity > 0 AND line.propensity <= 1)")


def incoming_positions() -> str:
    """Every incoming position of the shown list is null or at least 1."""
    return each_shown("line.incoming_position IS NULL OR line.incoming_position >= 1")


def no_strangers() -> str:
    """Every item of the shown list is in the catalogue."""
    return "(file_row_number NOT IN (SELECT row FROM strange_lists))"


def read(path: Path) -> str:
    """SQL that reads a Parquet file with `file_row_number`."""
    quoted = str(path).replace("'", "''")
    return f"read_parquet('{quoted}', file_row_number = true)"


def compute(
    connection: Any,
    path: Path,
    table: str,
    expressions: Mapping[str, str],
    set_aside: Sequence[str],
    values: Mapping[str, Any],
) -> None:
    """Makes the table `<table>_flags`: `row`, a boolean a check, and `reasons`, the failing checks that bar a row.

    Args:
        connection: DuckDB.
        path: the table's file.
        table: its name in the contract.
        expressions: check name -> flag.
        set_aside: the names whose failing rows are not accepted.
        values: the parameters.
    """
    columns = ", ".join(f'{flag} AS "{name}"' for name, flag in expressions.items())
    cases = ", ".join(f"CASE WHEN NOT \"{name}\" THEN '{name}' END" for name in set_aside)
    reasons = f"list_filter([{cases}], lambda reason: reason IS NOT NULL)" if cases else "[]::VARCHAR[]"
    used = {name: value for name, value in values.items() if f"${name}" in columns}
    connection.execute(
        f"CREATE TEMP TABLE {table}_flags AS SELECT *, {reasons} AS {REASONS} FROM "
        f"(SELECT file_row_number AS {ROW}, {columns} FROM {read(path)}) ORDER BY {ROW}",
        used,
    )


def remember_ids(connection: Any, path: Path, table: str, column: str) -> None:
    """Makes `known_<table>`: the ids of the rows that are not set aside."""
    connection.execute(
        f"CREATE TEMP TABLE known_{table} AS SELECT DISTINCT {column} AS id FROM {read(path)} AS file "
        f"JOIN {table}_flags AS flags ON file.file_row_number = flags.{ROW} "
        f"WHERE len({REASONS}) = 0 AND {column} IS NOT NULL"
    )


def find_strangers(connection: Any, path: Path) -> None:
    """Makes `strange_lists`: the rows of impressions that show an item which the catalogue lacks."""
    connection.execute(
        f"CREATE TEMP TABLE strange_lists AS SELECT DISTINCT row FROM "
        f"(SELECT file_row_number AS row, unnest(shown).item_id AS id FROM {read(path)}) "
        f"WHERE {filled('id')} AND id NOT IN (SELECT id FROM known_items)"
    )
