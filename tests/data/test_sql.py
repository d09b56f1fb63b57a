"""Databases as sources: a real PostgreSQL and SQLite; types, one snapshot, streaming, errors without the password."""

from __future__ import annotations

import os
import resource
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from liverank.config.data import DataConfig, SourceConfig
from liverank.data.collect import collect
from liverank.data.dataset import read_dataset
from liverank.data.ingest import ingest
from liverank.data.sources import sql
from liverank.data.sources.sql import read, recognises
from liverank.errors import ConfigError, DataError, LiverankError
from tests.data.databases import PASSWORD, Server, postgresql

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with postgresql() as server:
        yield server


@pytest.fixture
def server(running, monkeypatch) -> Server:
    monkeypatch.setenv("LIVERANK_SQL_PASSWORD", PASSWORD)
    running.run("DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "SET timezone = 'Asia/Tokyo'")
    return running


@pytest.fixture
def lite(tmp_path) -> str:
    """A SQLite file with two items and two clicks."""
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.executescript("""
            CREATE TABLE items (item_id INTEGER, title TEXT, attributes TEXT, price REAL);
            INSERT INTO items VALUES (1, '蓝牙耳机', '{"color": "blue"}', 9.5), (2, NULL, NULL, NULL);
            CREATE TABLE interactions (user_id TEXT, item_id INTEGER, timestamp TEXT, type TEXT, value NUMERIC);
            INSERT INTO interactions VALUES ('u', 1, '2026-03-01T12:00:00Z', 'click', 2),
                ('v', 2, '2026-03-01T21:00:00+09:00', 'cart', NULL);
        """)
    connection.close()
    return f"sqlite:///{tmp_path}/shop.db"


def test_types_of_postgresql(server):
    server.run(
        """CREATE TABLE items (item_id uuid, title varchar(20), text text, category char(3), attributes jsonb,
            available_from timestamptz)""",
        """INSERT INTO items VALUES ('6f2c0f4e-58d5-4d0e-9d6c-0a4e3f1b2c3d', '蓝牙耳机', NULL, 'a', '{"color": "blue"}',
            '2026-03-01 21:00:00+09')""",
        "CREATE TABLE users (user_id bigint, attributes json)",
        """INSERT INTO users VALUES (7, '{"vip": "yes"}'), (8, NULL)""",
        """CREATE TABLE impressions (impression_id int, user_id bigint, "timestamp" timestamptz, shown jsonb,
            degraded text[])""",
        """INSERT INTO impressions VALUES (1, 7, '2026-03-01 12:00:00Z', '[{"item_id": "a", "position": 1}]',
            ARRAY['slow', 'small'])""",
        """CREATE TABLE interactions (event_id int, user_id numeric(12, 0), item_id text, type text,
            "timestamp" timestamp without time zone, value numeric(8, 2), context jsonb)""",
        """INSERT INTO interactions VALUES (1, 7, 'a', 'purchase', '2026-03-01 21:00:00.25', 19.90,
            '{"device": "phone"}'),
            (2, 8, 'a', 'click', '2026-03-01 21:00:01', NULL, NULL)""",
    )
    dataset = collect(read(SourceConfig(source=server.url)), "shop", "Asia/Tokyo")
    assert dataset.rejected.num_rows == 0
    (item,) = dataset.tables["items"].to_pylist()
    assert (item["item_id"], item["title"], item["category"]) == (
        "6f2c0f4e-58d5-4d0e-9d6c-0a4e3f1b2c3d",
        "蓝牙耳机",
        "a  ",
    )
    assert (item["attributes"], item["available_from"]) == ([("color", "blue")], NOON)
    assert dataset.tables["users"].to_pylist()[0]["attributes"] == [("vip", "yes")]
    (impression,) = dataset.tables["impressions"].to_pylist()
    assert (impression["impression_id"], impression["timestamp"]) == ("1", NOON)
    assert (impression["shown"][0]["position"], impression["degraded"]) == (1, ["slow", "small"])
    one, two = dataset.tables["interactions"].to_pylist()
    assert (one["user_id"], one["value"], one["context"]) == ("7", 19.9, [("device", "phone")])
    assert (one["timestamp"] - NOON).total_seconds() == 0.25
    assert (two["value"], two["context"]) == (1.0, [])


def test_queries_and_mapping_mean_what_the_database_says(server):
    server.run(
        "CREATE TABLE orders (id serial, who jsonb, sku text, placed timestamptz, note text)",
        """INSERT INTO orders (who, sku, placed, note) VALUES ('{"user": {"id": 7}}', 'a', '2026-03-01 12:00Z',
            '50% :off'),
            ('{"user": {"id": 8}}', 'b', '2026-03-01 12:00Z', 'other')""",
    )
    config = SourceConfig(
        source=server.url,
        queries={"interactions": "SELECT *, 'purchase'::text AS type FROM orders WHERE note LIKE '50\\% :o%'; "},
        mapping={"interactions": {"user_id": "who.user.id", "item_id": "sku", "timestamp": "placed", "event_id": "id"}},
    )
    dataset = collect(read(config), "orders")
    (event,) = dataset.tables["interactions"].to_pylist()
    assert (event["user_id"], event["item_id"], event["event_id"], event["type"]) == ("7", "a", "1", "purchase")
    assert event["timestamp"] == NOON


def test_all_queries_see_one_moment(server):
    clicks = """CREATE TABLE interactions AS SELECT 'u' AS user_id, n::text AS item_id, now() AS "timestamp"
        FROM generate_series(1, 5) n"""
    server.run("CREATE TABLE items AS SELECT n::text AS item_id FROM generate_series(1, 5) n", clicks)
    parts = read(SourceConfig(source=server.url))
    assert next(parts).rows.num_rows == 5
    server.run(
        "INSERT INTO items VALUES ('6')",
        "INSERT INTO interactions VALUES ('u', '6', now())",
        "DELETE FROM interactions WHERE item_id = '1'",
    )
    assert [(part.table, part.rows.num_rows, part.first_line) for part in parts] == [("interactions", 5, 1)]
    assert [part.rows.num_rows for part in read(SourceConfig(source=server.url))] == [6, 5]


def test_the_server_keeps_what_is_not_read_yet(server, monkeypatch):
    monkeypatch.setattr(sql, "ROWS", 1000)
    query = (
        """SELECT 'u' AS user_id, generate_series(1, 200000000) AS item_id, '2026-03-01T12:00:00Z' AS "timestamp" """
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    parts = read(SourceConfig(source=server.url, queries={"interactions": query}))
    found = [next(parts) for _ in range(3)]
    parts.close()
    assert [(part.rows.num_rows, part.first_line) for part in found] == [(1000, 1), (1000, 1001), (1000, 2001)]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_nothing_can_be_changed(server):
    server.run("CREATE TABLE items AS SELECT '1' AS item_id")
    config = SourceConfig(source=server.url, queries={"items": "DELETE FROM items RETURNING *"})
    with pytest.raises(DataError, match="The query of items fails"):
        list(read(config))
    config = SourceConfig(source=server.url, queries={"items": "SELECT nextval('s')::text AS item_id"})
    server.run("CREATE SEQUENCE s")
    with pytest.raises(DataError, match="read-only transaction"):
        list(read(config))
    assert server.run("SELECT count(*) FROM items") == [(1,)]


def test_a_connection_lost_half_way(server, monkeypatch):
    monkeypatch.setattr(sql, "ROWS", 100)
    query = """SELECT 'u' AS user_id, generate_series(1, 10000000) AS item_id, now() AS "timestamp" """
    parts = read(SourceConfig(source=server.url, queries={"interactions": query}))
    next(parts)
    own = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'owner' AND pid <> pg_backend_pid()"
    assert (True,) in server.run(own)
    with pytest.raises(DataError, match=r"The connection was lost after [1-9]\d* rows of interactions: .*run again"):
        list(parts)


@pytest.mark.parametrize(
    ("change", "password", "message"),
    [
        (("owner@", "owner@"), "wrong-word", "password authentication failed.*Set LIVERANK_SQL_PASSWORD"),
        (("owner@", "owner@"), None, "no password supplied.*Set LIVERANK_SQL_PASSWORD"),
        (
            ("127.0.0.1", "no-such-host.invalid"),
            PASSWORD,
            "database postgres at no-such-host.invalid.*Check the host's name",
        ),
        (("/postgres", "/nothing"), PASSWORD, 'database "nothing" does not exist.*Check the database\'s name'),
    ],
)
def test_a_database_that_refuses(server, monkeypatch, change, password, message):
    monkeypatch.delenv("LIVERANK_SQL_PASSWORD")
    if password:
        monkeypatch.setenv("LIVERANK_SQL_PASSWORD", password)
    with pytest.raises(DataError, match=message) as refused:
        list(read(SourceConfig(source=server.url.replace(*change))))
    assert (password or "-" * 9) not in str(refused.value)


def test_a_port_where_nobody_listens(monkeypatch):
    monkeypatch.setenv("LIVERANK_SQL_PASSWORD", PASSWORD)
    with pytest.raises(DataError, match=r"Connection refused.*Check host and port") as refused:
        list(read(SourceConfig(source="postgresql://owner@127.0.0.1:1/shop")))
    assert PASSWORD not in str(refused.value)


def test_the_drivers_own_password(server, monkeypatch):
    server.run("CREATE TABLE items AS SELECT '1' AS item_id")
    monkeypatch.delenv("LIVERANK_SQL_PASSWORD")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert [part.rows.num_rows for part in read(SourceConfig(source=server.url))] == [1]


def test_a_query_that_fails_is_named(server):
    config = SourceConfig(source=server.url, queries={"users": "SELECT nonsense FROM nowhere"})
    with pytest.raises(DataError, match='The query of users fails after 0 rows: relation "nowhere" does not exist'):
        list(read(config))
    config = SourceConfig(source=server.url, queries={"users": "SELECT 1 AS user_id, 2 AS user_id"})
    with pytest.raises(DataError, match="gives the column user_id twice"):
        list(read(config))


def test_a_database_without_the_tables(server):
    with pytest.raises(DataError, match=r"no table named items, .* It has no table\."):
        list(read(SourceConfig(source=server.url)))
    server.run("CREATE TABLE orders (id int)")
    with pytest.raises(DataError, match=r"database postgres at 127\.0\.0\.1:\d+ has no table .* It has orders\."):
        list(read(SourceConfig(source=server.url)))


def test_ingest_writes_a_dataset(server, tmp_path):
    server.run(
        "CREATE TABLE items AS SELECT n::text AS item_id, 'title ' || n AS title FROM generate_series(1, 50) n",
        """CREATE TABLE interactions AS SELECT 'u' || n % 9 AS user_id, (n % 50 + 1)::text AS item_id, 'click' AS type,
            timestamptz '2026-03-01Z' + n * interval '1 minute' AS "timestamp" FROM generate_series(1, 3000) n""",
    )
    config = DataConfig(source=server.url, name="shop")
    summary = ingest(config, tmp_path / "one")
    assert (summary.format, summary.rows["items"], summary.rows["interactions"]) == ("sql", 50, 3000)
    assert ingest(config, tmp_path / "two").hash == summary.hash
    assert read_dataset(tmp_path / "one").tables["interactions"].num_rows == 3000
    for path in (tmp_path / "one").iterdir():
        assert PASSWORD.encode() not in path.read_bytes()


def test_sqlite(lite):
    dataset = collect(read(SourceConfig(source=lite)), "shop")
    assert [(row["item_id"], row["title"]) for row in dataset.tables["items"].to_pylist()] == [
        ("1", "蓝牙耳机"),
        ("2", ""),
    ]
    events = dataset.tables["interactions"].to_pylist()
    assert [(row["item_id"], row["type"], row["value"], row["timestamp"]) for row in events] == [
        ("1", "click", 2.0, NOON),
        ("2", "cart", 1.0, NOON),
    ]


def test_sqlite_shows_one_moment_and_cannot_be_changed(lite):
    parts = read(SourceConfig(source=lite))
    path = lite.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    assert next(parts).table == "items"
    with sqlite3.connect(path) as other:
        other.execute("DELETE FROM interactions")
    other.close()
    connection.close()
    assert [part.rows.num_rows for part in parts] == [2]
    with pytest.raises(DataError, match=r"The query of items fails.*readonly"):
        list(read(SourceConfig(source=lite, queries={"items": "DELETE FROM items RETURNING *"})))
    with pytest.raises(DataError, match="it is no SELECT"):
        list(read(SourceConfig(source=lite, queries={"items": "PRAGMA foreign_keys=ON"})))


def test_a_sqlite_file_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(DataError, match="There is no SQLite file"):
        list(read(SourceConfig(source=f"sqlite:///{tmp_path}/no.db")))
    assert not (tmp_path / "no.db").exists()


def test_a_driver_that_is_missing():
    with pytest.raises(DataError, match=r"needs the driver MySQLdb\. pip install mysqlclient"):
        list(read(SourceConfig(source="mysql://me@localhost/shop")))
    with pytest.raises(DataError, match="SQLAlchemy knows no database"):
        list(read(SourceConfig(source="nonsense://me@localhost/shop", format="sql")))


@pytest.mark.parametrize("source", ["postgresql://me:hidden-word@host/db", "postgresql://host/db?password=hidden-word"])
def test_a_password_in_the_address_is_refused_and_not_repeated(source):
    with pytest.raises(ConfigError, match="LIVERANK_SQL_PASSWORD") as refused:
        list(read(SourceConfig(source=source)))
    assert "hidden-word" not in str(refused.value)


def test_wrong_settings_are_named(lite):
    with pytest.raises(ConfigError, match="names the table 'clicks'"):
        list(read(SourceConfig(source=lite, queries={"clicks": "SELECT 1"})))
    with pytest.raises(LiverankError, match="no database URL"):
        list(read(SourceConfig(source="not a url", format="sql")))


def test_databases_are_recognised_by_their_address():
    for url in ("postgresql+psycopg://h/d", "postgres://h/d", "sqlite:///x.db", "mysql+pymysql://h/d"):
        assert recognises(SourceConfig(source=url))
    assert not recognises(SourceConfig(source="s3://bucket/sqlite/"))
    assert "LIVERANK_SQL_PASSWORD" not in os.environ
