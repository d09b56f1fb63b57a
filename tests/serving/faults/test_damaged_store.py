"""A server on a store that is damaged does not start, says what to do, and shows no traceback."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from liverank.events import Interaction, Item
from liverank.store import open_store
from tests.serving.conftest import click, ids
from tests.serving.faults.conftest import SECONDS, UNRECORDED, Servers, rank, refused_for_now, until

PAGE_BYTES = 4096
WHAT_TO_DO = "put a backup in its place"


def filled(path: Path) -> Path:
    """A store of some pages."""
    path.parent.mkdir(parents=True)
    store = open_store(path)
    store.append([Item(item_id=f"i{number}", title="A kettle of copper" * 10) for number in range(300)])
    noon = datetime(2026, 3, 1, tzinfo=UTC)
    events = [Interaction(event_id=f"e{n}", user_id="u", item_id="a", type="click", timestamp=noon) for n in range(300)]
    store.append(events)
    store.close()
    return path


def another_file(path: Path) -> None:
    path.write_bytes(b"something else " + path.read_bytes()[15:])


def first_page_only(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:PAGE_BYTES])


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def pages_overwritten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:PAGE_BYTES] + b"\x5a" * (path.stat().st_size - PAGE_BYTES))


def one_record_overwritten(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE log SET body = x'7bff' WHERE key = 'i7'")
    connection.close()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (another_file, WHAT_TO_DO),
        (first_page_only, WHAT_TO_DO),
        (cut_in_half, WHAT_TO_DO),
        (pages_overwritten, WHAT_TO_DO),
        (one_record_overwritten, "put a backup of the store in its place"),
    ],
)
def test_a_damaged_store_ends_the_start(servers: Servers, damage: Callable[[Path], None], says: str) -> None:
    server = servers()
    damage(filled(server.workspace / "live.db"))
    server.process = server.launch()
    assert server.process.wait(SECONDS) == 2
    output = server.output()
    assert output.startswith("Error: ")
    assert says in output
    assert len(output.splitlines()) == 1, output


def test_a_store_that_is_damaged_beneath_a_server(servers: Servers) -> None:
    """What cannot be written is refused and says what to do; rankings go on, from pages in memory or without."""
    server = servers()
    path = filled(server.workspace / "live.db")
    server.start()
    with server.client() as client:
        assert ids(rank(client))[0] == "a"
        pages_overwritten(path)
        until(lambda: UNRECORDED in rank(client).json()["degraded"])
        refused = client.post("/v1/events", json=click(1)), client.put("/v1/items", json={"item_id": "b"})
        assert all(WHAT_TO_DO in refused_for_now(answer) for answer in refused)
        assert client.get("/v1/users/u").status_code in (200, 503)
        assert rank(client).status_code == 200
