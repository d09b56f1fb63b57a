"""What makes a step run again: other files, a longer log, an erased user, other code; and nothing else."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import fsspec
import pytest

from liverank.config import Config, DataConfig
from liverank.config.data import SourceConfig
from liverank.events import Interaction
from liverank.store import open_store
from pipelines.fingerprint import champion_version, code_version, snapshot


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").write_text("1")
    (folder / "b.csv").write_text("2")
    return folder


@pytest.mark.parametrize("name", ["", "a.csv", "*.csv"])
def test_a_snapshot_is_stable_until_a_file_changes(source, name):
    data = DataConfig(source=str(source / name))
    before = snapshot(data)
    assert snapshot(data) == before
    (source / "a.csv").write_text("12")
    assert snapshot(data) != before


def test_a_new_time_counts_as_a_change(source):
    data = DataConfig(source=str(source))
    before = snapshot(data)
    os.utime(source / "b.csv", (1, 1))
    assert snapshot(data) != before


def test_a_new_file_in_the_folder_counts(source):
    data = DataConfig(source=str(source))
    before = snapshot(data)
    (source / "c.csv").write_text("")
    assert snapshot(data) != before


@pytest.mark.parametrize(
    "source", ["ftpx://host/clicks.csv", "kafka://127.0.0.1:1/topic", "memory://nowhere/clicks.csv"]
)
def test_what_cannot_be_looked_at_counts_as_new_each_time(source):
    data = DataConfig(source=source)
    assert snapshot(data) != snapshot(data)


def test_files_in_a_store_count_by_what_the_store_says_of_them():
    store = fsspec.filesystem("memory")
    store.pipe("/snapshots/clicks.csv", b"1")
    data = DataConfig(source="memory://snapshots/")
    before = snapshot(data)
    assert snapshot(data) == before
    store.pipe("/snapshots/clicks.csv", b"2")
    assert snapshot(data) != before


def test_every_source_counts_and_how_it_is_read(source):
    one = DataConfig(source=str(source / "a.csv"))
    two = DataConfig(source=str(source / "a.csv"), sources=(SourceConfig(source=str(source / "b.csv")),))
    assert snapshot(two) != snapshot(one)
    before = snapshot(two)
    (source / "b.csv").write_text("22")
    assert snapshot(two) != before
    zoned = one.model_copy(update={"timezone": "Europe/Paris"})
    assert snapshot(zoned) != snapshot(one)


def test_the_live_log_counts_and_so_does_an_erased_user(tmp_path):
    path = tmp_path / "live.db"
    data = DataConfig(live_store=str(path))
    nothing = snapshot(data)
    store = open_store(path)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    store.append(
        [Interaction(event_id=f"e{i}", user_id=f"u{i}", item_id="i", type="click", timestamp=now) for i in (1, 2)]
    )
    logged = snapshot(data)
    assert logged != nothing
    assert snapshot(data) == logged
    store.erase("u1")
    assert snapshot(data) != logged
    store.close()


def test_the_code_version_names_the_release_and_is_stable():
    assert code_version() == code_version()
    assert code_version().startswith("0.1.0+")


def test_a_workspace_without_a_registry_has_no_champion(tmp_path):
    assert champion_version(Config(workspace=str(tmp_path / "none"))) == ""
