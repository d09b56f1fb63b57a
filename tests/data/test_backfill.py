"""The live store filled from the source: the latest events of each user, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from liverank.config import DataConfig
from liverank.config.data import SourceConfig
from liverank.data.backfill import backfill
from liverank.errors import DataError
from liverank.pseudonyms import Pseudonyms
from liverank.store import open_store

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def source(tmp_path):
    lines = ["user_id,item_id,timestamp,type,event_id"]
    for minute in range(6):
        lines.append(f"anna,item-{minute},{(NOW - timedelta(minutes=minute)).isoformat()},click,a{minute}")
    lines.append(f"ben,item-1,{(NOW + timedelta(days=1)).isoformat()},click,future")
    lines.append(f"ben,item-2,{NOW.isoformat()},stare,unknown-type")
    lines.append(f"ben,item-3,{NOW.isoformat()},click,b")
    file = tmp_path / "interactions.csv"
    file.write_text("\n".join(lines))
    return DataConfig(source=str(file))


def test_the_latest_events_of_each_user_in_time_order(source, tmp_path):
    store = open_store(tmp_path / "live.db")
    assert backfill(source, store, per_user=3, now=NOW) == 4
    assert list(store.history("anna", 10).item_ids) == ["item-2", "item-1", "item-0"]
    assert list(store.history("ben", 10).item_ids) == ["item-3"]


def test_users_come_under_the_names_that_the_server_knows_them_by(source, tmp_path):
    store, names = open_store(tmp_path / "live.db"), Pseudonyms(b"0123456789abcdef")
    assert backfill(source, store, per_user=3, now=NOW, names=names) == 4
    assert len(store.history(names.user("anna"), 10).item_ids) == 3
    assert not store.user("anna")


def test_doing_it_again_adds_nothing(source, tmp_path):
    store = open_store(tmp_path / "live.db")
    backfill(source, store, per_user=3, now=NOW)
    assert backfill(source, store, per_user=3, now=NOW) == 0


def test_all_sources_are_read_and_an_event_that_two_have_counts_once(source, tmp_path):
    more = tmp_path / "more.csv"
    lines = [f"anna,item-{minute},{(NOW - timedelta(minutes=minute)).isoformat()},click,a{minute}" for minute in (0, 1)]
    lines.append(f"ben,item-9,{(NOW - timedelta(hours=1)).isoformat()},click,b9")
    more.write_text("\n".join(["user_id,item_id,timestamp,type,event_id", *lines]))
    both = source.model_copy(update={"sources": (SourceConfig(source=str(more)),)})
    store = open_store(tmp_path / "live.db")
    assert backfill(both, store, per_user=3, now=NOW) == 5
    assert list(store.history("anna", 10).item_ids) == ["item-2", "item-1", "item-0"]
    assert list(store.history("ben", 10).item_ids) == ["item-9", "item-3"]


def test_without_a_source_it_says_what_to_set(tmp_path):
    with pytest.raises(DataError, match=r"data\.source is not set"):
        backfill(DataConfig(), open_store(tmp_path / "live.db"), per_user=3, now=NOW)


def test_history_that_is_imported_was_known_when_it_happened(source, tmp_path):
    store = open_store(tmp_path / "live.db")
    backfill(source, store, per_user=3, now=NOW)
    records = [record for _, record in store.export()]
    assert records
    assert all(record.received_at == record.timestamp for record in records)
