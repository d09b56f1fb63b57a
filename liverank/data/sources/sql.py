"""Tables or queries of a database that SQLAlchemy knows, streamed in batches from one read-only snapshot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
import pyarrow as pa

from liverank.config.data import SourceConfig
from liverank.data.mapping import check, mapped
from liverank.data.sources.parts import Batch, Format, Note, Parts
from liverank.data.sources.sql_database import SNAPSHOTS, connected, said, where
from liverank.errors import ConfigError, DataError
from liverank.events import ARROW_SCHEMAS

SCHEME: Final = re.compile(
    r"(sqlite|postgres|postgresql|mysql|mariadb|mssql|oracle|duckdb|snowflake|bigquery)(\+\w+)?://"
)
ROWS: Final = 20_000
"""Rows fetched at once; as Python objects they take more room than as Arrow columns."""


def recognises(config: SourceConfig) -> bool:
    """Whether the source is a database's URL."""
    return SCHEME.match(config.source) is not None


def read(config: SourceConfig) -> Parts:
    """The rows of `data.queries`, or of the tables named items, users, impressions and interactions.

    All queries see the same moment of the database on PostgreSQL, MySQL, MariaDB and SQLite.

    Raises:
        ConfigError: the URL holds a password, or queries or mapping name a table that the contract has not.
        DataError: the driver is missing, the database cannot be reached, a query fails, or the connection is lost.
    """
    check(config.mapping)
    unknown = sorted(set(config.queries) - set(ARROW_SCHEMAS))
    if unknown:
        raise ConfigError(f"data.queries names the table {unknown[0]!r}.", f"Write one of {', '.join(ARROW_SCHEMAS)}.")
    with connected(config.source) as connection:
        if connection.dialect.name not in (*SNAPSHOTS, "sqlite") and len(config.queries) != 1:
            yield Note(f"{connection.dialect.name}: the queries run one after another and may see different moments.")
        for table, query in (config.queries or _tables(connection)).items():
            yield from _batches(connection, table, query, config)


def _tables(connection: Any) -> dict[str, str]:
    """A query for each of the contract's tables that the database has."""
    import sqlalchemy

    inspector = sqlalchemy.inspect(connection)
    found = {*inspector.get_table_names(), *inspector.get_view_names()}
    if not found & set(ARROW_SCHEMAS):
        listed = f" It has {', '.join(sorted(found)[:10])}." if found else " It has no table."
        raise DataError(
            f"{where(connection.engine.url)} has no table named {', '.join(ARROW_SCHEMAS)}.{listed}",
            "Write data.queries: a SELECT for each of them that gives the contract's columns.",
        )
    quote = connection.dialect.identifier_preparer.quote
    return {table: f"SELECT * FROM {quote(table)}" for table in ARROW_SCHEMAS if table in found}


def _batches(connection: Any, table: str, query: str, config: SourceConfig) -> Iterator[Batch]:
    place = f"{connection.dialect.name} query {table}"
    row = 1
    for names, rows in _rows(connection, table, query):
        columns = [_column(cells) for cells in zip(*rows, strict=True)]
        raw = mapped(pa.table(columns, names=names), config.mapping.get(table, {}), place)
        yield Batch(table, raw, place, row)
        row += len(rows)


def _rows(connection: Any, table: str, query: str) -> Iterator[tuple[list[str], Sequence[Any]]]:
    """Column names and rows, `ROWS` at a time; the server keeps the rest."""
    import sqlalchemy

    count = 0
    # The query is the driver's own text: a % or a colon in it means what it means there.
    options = {"stream_results": True, "max_row_buffer": ROWS, "no_parameters": True}
    try:
        result = connection.exec_driver_sql(query, execution_options=options)
        names = _names(result, table)
        for rows in result.partitions(ROWS):
            yield names, rows
            count += len(rows)
    except sqlalchemy.exc.ResourceClosedError as problem:
        raise DataError(
            f"The query of {table} gives no rows: it is no SELECT.", f"Mend data.queries.{table}."
        ) from problem
    except sqlalchemy.exc.DBAPIError as problem:
        text = said(problem, connection.engine.url)
        if problem.connection_invalidated:
            raise DataError(
                f"The connection was lost after {count:,} rows of {table}: {text}.", "Nothing was written; run again."
            ) from problem
        raise DataError(
            f"The query of {table} fails after {count:,} rows: {text}.", f"Mend data.queries.{table}."
        ) from problem


def _names(result: Any, table: str) -> list[str]:
    names = list(result.keys())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"The query of {table} gives the column {twice[0]} twice.", f"Name its columns in data.queries.{table}."
        )
    return names


def _column(cells: Sequence[Any]) -> pa.Array:
    """Text, numbers, truths and instants as they are; anything else as text, JSON as its text."""
    kinds = {type(cell) for cell in cells if cell is not None}
    try:
        if kinds and kinds <= {datetime, date}:
            return _instants(cells)
        if not kinds or (len(kinds) == 1 and kinds <= {str, int, float, bool}):
            return pa.array(cells)
    except (OverflowError, pa.ArrowInvalid):
        pass  # beyond 64 bits, or years that Arrow cannot tell: as text
    return pa.array([_text(cell) for cell in cells], pa.string())


def _instants(cells: Sequence[Any]) -> pa.Array:
    times = [cell if cell is None or isinstance(cell, datetime) else datetime(*cell.timetuple()[:3]) for cell in cells]
    zoned = {cell.tzinfo is not None for cell in times if cell is not None}
    if zoned == {True}:
        return pa.array([cell and cell.astimezone(UTC) for cell in times], pa.timestamp("us", tz="UTC"))
    if zoned == {False}:
        return pa.array(times, pa.timestamp("us"))
    return pa.array([cell and cell.isoformat() for cell in times], pa.string())


def _text(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, Decimal):
        return format(cell, "f")
    if isinstance(cell, bytes | memoryview):
        return bytes(cell).decode("utf-8", "replace")
    if isinstance(cell, dict | list | tuple | bool):
        return msgspec.json.encode(cell, enc_hook=str).decode("utf-8")
    return cell.isoformat() if isinstance(cell, datetime | date) else str(cell)


FORMAT: Final = Format(
    "sql", "tables or queries of a database (postgresql+psycopg://host/db, sqlite:///file)", recognises, read
)
