"""Records that earlier versions took, beyond today's bounds, do not keep the rest of the log from landing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from liverank.config.data import DataConfig
from liverank.data.dataset import read_dataset
from liverank.data.ingest import ingest
from liverank.errors import DataError
from liverank.events import LARGEST_SCORE, LAST_POSITION, Impression, Interaction, Item, ShownItem, encode_record
from liverank.store import open_store

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
FIRST = '"0001-01-01T00:00:00+14:00"'
LAST = '"9999-12-31T23:59:59-14:00"'


def former_log(path):
    """A store whose first three records were written before there were bounds, and a click after them."""
    shown = [ShownItem(item_id="a", position=1, incoming_position=2, score=3.0)]
    click = Interaction(event_id="e", user_id="u", item_id="a", type="click", timestamp=NOON, received_at=NOON)
    good = Interaction(event_id="good", user_id="u", item_id="a", type="click", timestamp=NOON)
    with closing(open_store(path)) as store:
        store.append([
            Impression(impression_id="i", user_id="u", timestamp=NOON, shown=shown),
            click,
            Item(item_id="a", available_from=NOON),
            good,
        ])  # fmt: skip
    changes = [
        ("impression", '"position":1', '"position":2147483648'),
        ("impression", '"incoming_position":2', f'"incoming_position":{10**12}'),
        ("impression", '"score":3.0', '"score":-3e38'),
        ("interaction", '"received_at":"2026-05-01T12:00:00Z"', f'"received_at":{FIRST}'),
        ("item", '"available_from":"2026-05-01T12:00:00Z"', f'"available_from":{LAST}'),
    ]
    with closing(sqlite3.connect(path)) as log, log:
        for kind, now, then in changes:
            query = "UPDATE log SET body = CAST(replace(CAST(body AS TEXT), ?, ?) AS BLOB) WHERE kind = ? AND key != ?"
            log.execute(query, (now, then, kind, "good"))


def test_a_log_with_records_beyond_the_bounds_is_ingested(tmp_path, world, caplog):
    former_log(tmp_path / "live.db")
    config = DataConfig(source=str(world), live_store=str(tmp_path / "live.db"))
    ingest(config, tmp_path / "out", tmp_path / "work")
    tables = read_dataset(tmp_path / "out").tables
    events = {row["event_id"]: row for row in tables["interactions"].to_pylist()}
    assert {"e", "good"} <= events.keys()
    assert events["e"]["received_at"] == datetime.min.replace(tzinfo=UTC)
    (line,) = next(row["shown"] for row in tables["impressions"].to_pylist() if row["impression_id"] == "i")
    assert (line["position"], line["incoming_position"]) == (LAST_POSITION, LAST_POSITION)
    assert line["score"] == -LARGEST_SCORE
    item = next(row for row in tables["items"].to_pylist() if row["item_id"] == "a")
    assert item["available_from"] == datetime.max.replace(tzinfo=UTC)
    told = {record.message.split(" was taken")[0] for record in caplog.records if "earlier version" in record.message}
    assert told == {f"Record {number} of the live store" for number in (1, 2, 3)}


def test_what_no_version_took_stays_refused(tmp_path):
    with closing(open_store(tmp_path / "live.db")) as store:
        store.append([Item(item_id="a")])
        with closing(sqlite3.connect(tmp_path / "live.db")) as log, log:
            log.execute("UPDATE log SET body = ?", (encode_record(Item(item_id="")),))
        with pytest.raises(DataError, match=r"Record 1 of the live store cannot be read"):
            list(store.export())
