"""The live store's log joins a source once, whatever both already know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from liverank.config.data import DataConfig
from liverank.data.dataset import read_dataset
from liverank.data.ingest import fingerprint, ingest
from liverank.errors import DataError
from liverank.events import Impression, Interaction, Item, ShownItem, User, from_table
from liverank.store import open_store
from tests.data.writing import read_contract

LATER = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "live.db")
    yield opened
    opened.close()


def _records(source):
    tables = read_dataset(source).tables
    known = from_table(tables["interactions"].slice(0, 3), "interactions")
    shown = [ShownItem(item_id="item-00001", position=1)]
    return [
        *known,
        *from_table(tables["impressions"].slice(0, 2), "impressions"),
        Item(item_id="item-00001", title="new title"),
        Item(item_id="brand-new", title="brand new"),
        User(user_id="user-000001", attributes={"vip": "yes"}),
        Impression(impression_id="i-live", user_id="u", timestamp=LATER, shown=shown),
        Interaction(event_id="e-live", user_id="u", item_id="brand-new", type="click", timestamp=LATER),
    ]


def test_the_log_adds_what_the_source_lacks(tmp_path, world, store):
    store.append(_records(world))
    config = DataConfig(source=str(world), live_store=str(tmp_path / "live.db"))
    summary = ingest(config, tmp_path / "out")
    before = read_contract(str(world)).rows()
    assert summary.rows["interactions"] == before["interactions"] + 1
    assert summary.rows["impressions"] == before["impressions"] + 1
    assert summary.rows["items"] == before["items"] + 1
    assert summary.rows["users"] == before["users"]
    assert "1 interactions and 1 impressions" in summary.notes[-1]
    items = {item["item_id"]: item["title"] for item in read_dataset(tmp_path / "out").tables["items"].to_pylist()}
    assert items["item-00001"] == "new title"


def test_joining_twice_gives_the_same_hash(tmp_path, world, store):
    store.append(_records(world))
    live = str(tmp_path / "live.db")
    once = ingest(DataConfig(source=str(world), live_store=live), tmp_path / "once")
    twice = ingest(DataConfig(source=str(tmp_path / "once"), live_store=live), tmp_path / "twice")
    assert twice.hash == once.hash
    assert twice.synthetic


def test_the_log_alone_is_a_source(tmp_path, world, store):
    store.append(_records(world))
    summary = ingest(DataConfig(live_store=str(tmp_path / "live.db")), tmp_path / "out")
    assert summary.rows == {"items": 2, "users": 1, "impressions": 3, "interactions": 4, "rejected": 0}


def test_an_empty_log_alone_is_refused(tmp_path, store):
    with pytest.raises(DataError, match="holds no interaction"):
        ingest(DataConfig(live_store=str(tmp_path / "live.db")), tmp_path / "out")


def test_the_fingerprint_changes_with_the_source_and_with_the_log(tmp_path, world, store):
    config = DataConfig(source=str(world), live_store=str(tmp_path / "live.db"))
    first = fingerprint(config)
    assert fingerprint(config) == first
    store.append(_records(world))
    second = fingerprint(config)
    assert second != first
    later = Interaction(event_id="e-2", user_id="u", item_id="a", type="click", timestamp=LATER + timedelta(seconds=1))
    store.append([later])
    assert fingerprint(config) not in (first, second)
