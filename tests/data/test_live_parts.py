"""The live store's log as parts of a source: with a landing or without, after any death, and after erasures."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from liverank.config.data import DataConfig
from liverank.data import log_pages
from liverank.data.live import live_parts
from liverank.data.log_pages import SCHEMA
from liverank.events import ARROW_SCHEMAS, Impression, Interaction, Item, ShownItem, User, from_table
from liverank.store import SqliteStore, open_store
from tests.data.dying import dies_at

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARRIVAL = 1_772_368_000.25
ARRIVED = datetime.fromtimestamp(ARRIVAL, UTC)


def click(number: int, user: str = "u") -> Interaction:
    at = NOON + timedelta(seconds=number)
    return Interaction(event_id=f"{user}-{number}", user_id=user, item_id=f"i{number}", type="click", timestamp=at)


def shown(number: int, user: str = "u") -> Impression:
    lines = [ShownItem(item_id="a", position=1, score=0.5, propensity=1.0), ShownItem(item_id="b", position=2)]
    return Impression(impression_id=f"{user}-m{number}", user_id=user, timestamp=NOON, shown=lines, context={"d": "w"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = open_store(tmp_path / "live.db", clock=lambda: ARRIVAL)
    yield opened
    opened.close()


def read(folder: Path, workspace: Path | None = None) -> dict[str, list]:
    """Records by table, in the order of the parts."""
    found: dict[str, list] = {name: [] for name in ARROW_SCHEMAS}
    for part in live_parts(DataConfig(live_store=str(folder / "live.db")), workspace):
        assert part.rows.schema == ARROW_SCHEMAS[part.table]
        found[part.table] += from_table(part.rows, part.table)
    return found


def events(folder: Path, workspace: Path | None = None) -> list[str]:
    return [event.event_id for event in read(folder, workspace)["interactions"]]


@pytest.fixture(params=["landed", "whole"])
def workspace(request, tmp_path) -> Path | None:
    return tmp_path / "workspace" if request.param == "landed" else None


def segments(workspace: Path) -> list[str]:
    return sorted(path.name.split(".")[1] for path in (workspace / "landing" / "live").glob("*.parquet"))


def test_records_come_back_with_their_arrival(tmp_path, store, workspace):
    early = Interaction(
        event_id="e", user_id="v", item_id="a", type="cart", timestamp=NOON, received_at=NOON, context={"k": "蓝"}
    )
    records = [
        click(1),
        shown(1),
        Item(item_id="a", attributes={"颜色": "蓝"}, available_from=NOON),
        User(user_id="u"),
        early,
    ]
    store.append(records)
    for _ in range(2):
        found = read(tmp_path, workspace)
        assert found["impressions"] == [records[1]]
        assert found["items"] == [records[2]]
        assert found["users"] == [records[3]]
        assert found["interactions"][1] == early
        assert found["interactions"][0].received_at == ARRIVED
        assert found["interactions"][0].event_id == "u-1"


def test_an_empty_log(tmp_path, store, workspace):
    assert read(tmp_path, workspace) == {name: [] for name in ARROW_SCHEMAS}


def test_the_latest_item_and_user_win_across_segments(tmp_path, store, workspace):
    store.append([Item(item_id="a", title="1"), Item(item_id="b", title="1"), User(user_id="u", attributes={"x": "1"})])
    read(tmp_path, workspace)
    store.append([Item(item_id="a", title="2"), User(user_id="u", attributes={"x": "2"})])
    read(tmp_path, workspace)
    store.append([Item(item_id="a", title="3")])
    found = read(tmp_path, workspace)
    assert found["items"] == [Item(item_id="b", title="1"), Item(item_id="a", title="3")]
    assert found["users"] == [User(user_id="u", attributes={"x": "2"})]


def test_only_new_records_are_landed(tmp_path, store, monkeypatch):
    workspace = tmp_path / "workspace"
    monkeypatch.setattr(log_pages, "PAGE_ROWS", 4)
    store.append([click(n) for n in range(10)])
    assert events(tmp_path, workspace) == [f"u-{n}" for n in range(10)]
    first = segments(workspace)
    assert [name.split("-")[1].lstrip("0") for name in first] == ["4", "8", "10"]
    store.append([click(n) for n in range(8, 13)])
    assert events(tmp_path, workspace) == [f"u-{n}" for n in range(13)]
    assert segments(workspace)[:3] == first
    assert len(segments(workspace)) == 4


def test_many_runs_are_compacted_and_read_in_order(tmp_path, store):
    workspace = tmp_path / "workspace"
    for n in range(40):
        store.append([click(n), Item(item_id="a", title=str(n))])
        found = read(tmp_path, workspace)
    assert [event.event_id for event in found["interactions"]] == [f"u-{n}" for n in range(40)]
    assert [item.title for item in found["items"]] == ["39"]
    assert len(segments(workspace)) <= 17


def test_an_erased_user_leaves_the_landing_before_it_is_read(tmp_path, store, monkeypatch):
    workspace = tmp_path / "workspace"
    monkeypatch.setattr(log_pages, "PAGE_ROWS", 3)
    store.append([click(1), click(1, "v"), shown(1), User(user_id="u"), click(2), click(2, "v"), Item(item_id="a")])
    assert len(events(tmp_path, workspace)) == 4
    store.erase("u")
    found = read(tmp_path, workspace)
    assert [event.event_id for event in found["interactions"]] == ["v-1", "v-2"]
    assert (found["impressions"], found["users"], found["items"]) == ([], [], [Item(item_id="a")])
    for path in (workspace / "landing" / "live").iterdir():
        assert b"u-1" not in path.read_bytes(), path.name


def test_an_erased_user_who_comes_back_has_only_later_records(tmp_path, store, workspace):
    store.append([click(1), click(2), click(1, "v")])
    events(tmp_path, workspace)
    store.erase("u")
    store.append([click(2), click(3)])
    assert events(tmp_path, workspace) == ["v-1", "u-2", "u-3"]
    store.erase("u")
    store.append([click(4)])
    assert events(tmp_path, workspace) == ["v-1", "u-4"]
    assert events(tmp_path, workspace) == ["v-1", "u-4"]


def test_an_erasure_between_reading_and_landing_is_applied(tmp_path, store, monkeypatch):
    workspace = tmp_path / "workspace"
    store.append([click(1), click(1, "v")])
    real = log_pages._page

    def erased_meanwhile(page):
        store.erase("u")
        return real(page)

    monkeypatch.setattr(log_pages, "_page", erased_meanwhile)
    assert events(tmp_path, workspace) == ["v-1"]


def test_another_store_under_the_same_path_is_landed_anew(tmp_path, store):
    workspace = tmp_path / "workspace"
    store.append([click(n) for n in range(5)])
    store.erase("nobody")
    events(tmp_path, workspace)
    store.close()
    for path in tmp_path.glob("live.db*"):
        path.unlink()
    other = open_store(tmp_path / "live.db")
    other.append([click(n, "w") for n in range(9)])
    other.close()
    assert events(tmp_path, workspace) == [f"w-{n}" for n in range(9)]


def test_an_older_copy_of_the_store_put_back_is_followed_from_where_they_agree(tmp_path, monkeypatch):
    workspace, path = tmp_path / "workspace", tmp_path / "live.db"
    clock = count(1000)

    def append(records):
        store = open_store(path, clock=lambda: float(next(clock)))
        store.append(records)
        store.close()

    append([click(n) for n in range(4)])
    events(tmp_path, workspace)
    shutil.copy(path, tmp_path / "backup.db")
    append([click(n, "lost") for n in range(4)])
    assert len(events(tmp_path, workspace)) == 8
    shutil.copy(tmp_path / "backup.db", path)
    for extra in tmp_path.glob("live.db-*"):
        extra.unlink()
    append([click(n, "new") for n in range(6)])
    assert events(tmp_path, workspace) == [f"u-{n}" for n in range(4)] + [f"new-{n}" for n in range(6)]


def test_a_store_of_version_1_is_landed(tmp_path, store):
    store.append([click(n) for n in range(3)])
    store.close()
    with sqlite3.connect(tmp_path / "live.db") as connection:
        connection.executescript("DROP TABLE erased; DROP TABLE identity; PRAGMA user_version=1")
    connection.close()
    assert events(tmp_path, tmp_path / "workspace") == ["u-0", "u-1", "u-2"]


def test_kill_9_at_every_step_of_a_run(tmp_path, monkeypatch):
    """The second run lands two new pages, takes out an erased user and compacts: dying at any step."""
    monkeypatch.setattr(log_pages, "PAGE_ROWS", 5)
    monkeypatch.setattr("liverank.data.landing.MOST_SEGMENTS", 2)
    start = tmp_path / "start"
    store = open_store(start / "live.db", clock=lambda: ARRIVAL)
    store.append([click(n, "gone" if n % 4 == 0 else "stays") for n in range(12)])
    events(start, start / "workspace")
    store.erase("gone")
    store.append([click(n, "gone" if n % 4 == 0 else "stays") for n in range(10, 20)])
    expected = sorted([f"stays-{n}" for n in range(20) if n % 4] + ["gone-12", "gone-16"])
    store.close()
    deaths = 0
    for step in count(1):
        folder = tmp_path / str(step)
        shutil.copytree(start, folder)
        died = dies_at(step, lambda folder=folder: events(folder, folder / "workspace"))
        assert sorted(events(folder, folder / "workspace")) == expected
        assert sorted(events(folder, folder / "workspace")) == expected
        deaths += died
        if not died:
            break
    assert deaths > 20


def test_the_landed_schema_follows_the_contract():
    assert SCHEMA.names == ["sequence", "arrived", *ARROW_SCHEMAS]
