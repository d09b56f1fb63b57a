"""The tables of a dataset folder for SQL, within a memory limit; what does not fit spills into a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from liverank.data.dataset import DATASET_SCHEMAS, REJECTED_FILE, REJECTED_SCHEMA
from liverank.errors import ConfigError, DataError

MEMORY_LIMIT: Final = "2GB"
Row = dict[str, Any]


class Engine:
    """Answers SQL as rows; instants are UTC, without a zone: calendars cost much where time zones have a say."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, sql: str, *values: object) -> None:
        """A statement without an answer."""
        self._connection.execute(sql, list(values))

    def rows(self, sql: str, *values: object) -> list[Row]:
        """The answer, one dictionary a row."""
        answer = self._connection.execute(sql, list(values))
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def row(self, sql: str, *values: object) -> Row:
        """The only row of the answer."""
        (one,) = self.rows(sql, *values)
        return one

    def columns(self, sql: str, *values: object) -> dict[str, Any]:
        """The answer as NumPy arrays, by column."""
        found: dict[str, Any] = self._connection.execute(sql, list(values)).fetchnumpy()
        return found


@contextmanager
def opened(folder: Path, memory_limit: str = MEMORY_LIMIT) -> Iterator[Engine]:
    """The dataset's tables as views named as in the contract, and `rejected`.

    Raises:
        DataError: a file is missing or has not the contract's columns.
        ConfigError: `memory_limit` is not an amount of memory.
    """
    with tempfile.TemporaryDirectory(prefix="liverank-profile-") as spill:
        settings = {"temp_directory": spill, "memory_limit": memory_limit, "autoinstall_known_extensions": "false"}
        connection = _connect(settings)
        try:
            connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
            for name, schema in DATASET_SCHEMAS.items():
                _view(connection, folder / f"{name}.parquet", name, schema.names)
            if (folder / REJECTED_FILE).is_file():
                _view(connection, folder / REJECTED_FILE, "rejected", REJECTED_SCHEMA.names)
            else:
                fields = ", ".join(f'NULL::VARCHAR AS "{name}"' for name in REJECTED_SCHEMA.names)
                connection.execute(f"CREATE VIEW rejected AS SELECT {fields} WHERE false")
            yield Engine(connection)
        finally:
            connection.close()


def _connect(settings: dict[str, str]) -> Any:
    try:
        return duckdb.connect(config=settings)
    except duckdb.Error as problem:
        limit = settings["memory_limit"]
        raise ConfigError(f"'{limit}' is not an amount of memory.", "Write it like 4GB or 512MB.") from problem


def _view(connection: Any, path: Path, name: str, wanted: list[str]) -> None:
    quoted = str(path).replace("'", "''")
    try:
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{quoted}')")
        known = {row[0] for row in connection.execute(f"DESCRIBE {name}").fetchall()}
    except duckdb.Error as problem:
        why = str(problem).splitlines()[0]
        raise DataError(f"{path} cannot be read: {why}.", "Write the folder anew with the ingest step.") from problem
    # Columns that joined the contract later are empty in older folders.
    _complete(connection, quoted, name, [column for column in wanted if column not in known])


def _complete(connection: Any, quoted: str, name: str, missing: list[str]) -> None:
    required = {"item_id", "user_id", "timestamp", "type", "shown", "impression_id", "event_id", "reason"}
    lost = [column for column in missing if column in required and not (name == "interactions" and column == "shown")]
    if lost:
        raise DataError(f"{name}.parquet has no column {lost[0]}.", "Write the folder anew with the ingest step.")
    extra = "".join(f', NULL::{_kind(column)} AS "{column}"' for column in missing)
    times = [
        column
        for column in ("timestamp", "received_at")
        if name in DATASET_SCHEMAS and column in DATASET_SCHEMAS[name].names
    ]
    plain = ", ".join(f"make_timestamp(epoch_us({column})) AS {column}" for column in times)
    plain = plain and f" REPLACE ({plain})"
    connection.execute(
        f"CREATE OR REPLACE VIEW {name} AS SELECT *{plain} FROM (SELECT *{extra} FROM read_parquet('{quoted}'))"
    )


def _kind(column: str) -> str:
    if column in ("attributes", "context"):
        return "MAP(VARCHAR, VARCHAR)"
    if column in ("received_at", "available_from"):
        return "TIMESTAMPTZ"
    return "DOUBLE" if column == "value" else "VARCHAR"


def iso(instant: datetime | None) -> str | None:
    """An instant in UTC as text, to the second."""
    return None if instant is None else instant.replace(tzinfo=UTC).isoformat(timespec="seconds")
