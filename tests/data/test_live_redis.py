"""The log of a live store in Redis joins the sources as one in a file does, and may be bounded once it is landed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from liverank.config.data import DataConfig
from liverank.data.ingest import fingerprint, ingest
from liverank.data.live import live_parts
from liverank.data.replayed_rows import erased_users
from liverank.events import Item, from_table
from liverank.store import LiveStore, open_store, user_hash
from pipelines.fingerprint import snapshot
from tests.store.contract import click, shown
from tests.store.redis_server import PATIENT, RedisServer


@pytest.fixture
def place(redis: RedisServer, tmp_path: Path) -> str:
    return redis.url(tmp_path)


@pytest.fixture
def store(place: str) -> Iterator[LiveStore]:
    opened = open_store(place, bounds=PATIENT.model_copy(update={"log_records": 5}))
    yield opened
    opened.close()


def events(place: str, workspace: Path | None = None) -> list[str]:
    parts = live_parts(DataConfig(live_store=place), workspace)
    rows = [from_table(part.rows, part.table) for part in parts if part.table == "interactions"]
    return [event.event_id for events in rows for event in events]


def names(*numbers: int) -> list[str]:
    return [f"u-{number}" for number in numbers]


def test_only_new_records_are_landed_and_erased_users_leave(place: str, store: LiveStore, tmp_path: Path) -> None:
    store.append([click(1), shown(1), click(1, "v"), Item(item_id="a")])
    assert events(place, tmp_path) == [*names(1), "v-1"] == events(place)
    store.append([click(2)])
    assert events(place, tmp_path) == ["u-1", "v-1", "u-2"]
    store.erase("u")
    store.append([click(3)])
    assert events(place, tmp_path) == ["v-1", "u-3"] == events(place)
    assert erased_users(place) == {user_hash("u")}


def test_a_workspace_that_outlives_runs_lets_the_log_be_bounded_and_loses_nothing(
    place: str, store: LiveStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.append([click(number) for number in range(20)])
    every = names(*range(20))
    # The first run proves nothing: a pod's workspace ends with the pod.
    assert events(place, tmp_path) == every
    store.append([click(20)])
    assert store.trimmed() == 0
    assert events(place, tmp_path) == names(*range(21))
    store.append([click(21)])
    assert store.trimmed() == 17
    assert [record.event_id for _, record in store.export()] == names(*range(17, 22))  # type: ignore[union-attr]
    assert events(place, tmp_path) == names(*range(22))
    assert "removed" not in capsys.readouterr().err
    # Another workspace cannot have them any more, is told so, and keeps the log from letting go of more.
    assert events(place, tmp_path / "other") == names(*range(17, 22))
    assert events(place) == names(*range(17, 22))
    told = capsys.readouterr().err
    assert told.count("removed interactions and impressions up to number 17 from its log") == 2
    store.append([click(22)])
    events(place, tmp_path)
    store.append([click(23)])
    assert store.trimmed() == 17


def test_ingest_and_fingerprints_see_what_the_log_gained(place: str, store: LiveStore, tmp_path: Path) -> None:
    config = DataConfig(live_store=place)
    store.append([click(1), Item(item_id="i1", title="one")])
    assert ingest(config, tmp_path / "out").rows["interactions"] == 1
    before = fingerprint(config), snapshot(config)
    assert (fingerprint(config), snapshot(config)) == before
    store.append([click(2)])
    after = fingerprint(config), snapshot(config)
    assert after[0] != before[0]
    assert after[1] != before[1]
    store.erase("u")
    assert snapshot(config) != after[1]


def test_a_redis_that_is_away_counts_as_new_each_time() -> None:
    away = DataConfig(live_store="redis://127.0.0.1:1/0")
    assert snapshot(away) != snapshot(away)
