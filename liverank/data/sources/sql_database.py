"""A database as a source: one read-only connection that sees one moment, and errors without its password."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from liverank.errors import ConfigError, DataError

PASSWORD: Final = "LIVERANK_SQL_PASSWORD"
SNAPSHOTS: Final = {"postgresql": "REPEATABLE READ", "mysql": "REPEATABLE READ", "mariadb": "REPEATABLE READ"}
"""Databases on which all queries of one transaction see the same rows at this level (SQLite has no other)."""
TIMEOUTS: Final = {"psycopg": "connect_timeout", "psycopg2": "connect_timeout", "pymysql": "connect_timeout"}
SECONDS_TO_CONNECT: Final = 15
PACKAGES: Final = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""Module of a driver -> what pip calls it, where that is another name."""
CAUSES: Final = (
    (
        ("password", "authentication", "access denied"),
        f"Set {PASSWORD} (or PGPASSWORD, ~/.pgpass), and check the user.",
    ),
    (("resolve", "translate host", "not known", "unknown host"), "Check the host's name in data.source."),
    (
        ("refused", "timeout", "timed out", "no route", "unreachable", "no such file"),
        "Check host and port in data.source.",
    ),
    (("does not exist", "unknown database", "unable to open"), "Check the database's name in data.source."),
)


def url_of(source: str) -> Any:
    """The source as SQLAlchemy's URL, with the password from the environment.

    Raises:
        ConfigError: it is no URL, or the password stands in it.
        DataError: SQLAlchemy is not installed.
    """
    try:
        import sqlalchemy
    except ImportError as problem:
        raise DataError("Reading from a database needs SQLAlchemy.", "pip install 'liverank[sources]'") from problem
    try:
        url = sqlalchemy.make_url(source)
    except sqlalchemy.exc.ArgumentError as problem:
        raise ConfigError(
            "data.source is no database URL.", "Write e.g. postgresql+psycopg://user@host:5432/database."
        ) from problem
    if url.password is not None or "password" in url.query:
        raise ConfigError(
            "data.source has a password in it, and would be written down with it.",
            f"Take it out and set the environment variable {PASSWORD} (or PGPASSWORD, or ~/.pgpass).",
        )
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    password = os.environ.get(PASSWORD)
    return url.set(password=password) if password and url.get_backend_name() != "sqlite" else url


@contextmanager
def connected(source: str) -> Iterator[Any]:
    """A connection on which every query sees the database as it is now, and none can change it.

    Raises:
        ConfigError: see `url_of`.
        DataError: the driver is missing, or the database cannot be reached or refuses.
    """
    url = url_of(source)
    engine = _engine(url)
    try:
        connection = _connect(engine, url)
        try:
            yield connection
        finally:
            connection.close()
    finally:
        engine.dispose()


def _engine(url: Any) -> Any:
    import sqlalchemy

    try:
        driver = url.get_driver_name()
        late = {TIMEOUTS[driver]: SECONDS_TO_CONNECT} if driver in TIMEOUTS else {}
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, hide_parameters=True, connect_args=late)
    except sqlalchemy.exc.NoSuchModuleError as problem:
        raise DataError(
            f"SQLAlchemy knows no database {url.drivername}.", "Check data.source, or install the dialect's package."
        ) from problem
    except ImportError as problem:
        module = (problem.name or str(url.get_driver_name())).split(".")[0]
        raise DataError(
            f"Reading from {url.get_backend_name()} needs the driver {module}.",
            f"pip install {PACKAGES.get(module, module)}",
        ) from problem


def _connect(engine: Any, url: Any) -> Any:
    import sqlalchemy

    backend = url.get_backend_name()
    if backend == "sqlite" and url.database and not Path(url.database).is_file():
        raise DataError(f"There is no SQLite file {url.database}.", "Check data.source.")
    options: dict[str, Any] = {"isolation_level": SNAPSHOTS[backend]} if backend in SNAPSHOTS else {}
    options |= {"postgresql_readonly": True} if backend == "postgresql" else {}
    try:
        connection = engine.connect().execution_options(**options)
        if backend == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only=ON")
            # The driver itself begins no transaction for a SELECT.
            connection.exec_driver_sql("BEGIN")
        return connection
    except sqlalchemy.exc.DBAPIError as problem:
        text = said(problem, url)
        raise DataError(f"{where(url)} cannot be read: {text}.", _hint(text)) from problem


def where(url: Any) -> str:
    """The database in words, without user or password."""
    host = f" at {url.host}{f':{url.port}' if url.port else ''}" if url.host else ""
    return f"The {url.get_backend_name()} database {url.database}{host}"


def said(problem: Any, url: Any) -> str:
    """What the database said, on one line and without the password."""
    text = " ".join(str(problem.orig).split()).rstrip(".")
    return text.replace(url.password, "***") if url.password else text


def _hint(text: str) -> str:
    lower = text.lower()
    return next((hint for words, hint in CAUSES if any(word in lower for word in words)), "Check data.source.")
