"""Quarantined rows judged again: what passes is written once, the rest says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liverank.config import Config, DataConfig, ValidationConfig
from liverank.config.replayed_data import with_replayed
from liverank.data.ingest import ingest
from liverank.errors import DataError
from liverank.events import Interaction, Item
from liverank.store import SqliteStore, open_store
from liverank.validation.replaying import ERASED, Replayed, replay
from liverank.validation.run import validate
from tests.validation.conftest import NOW, Tables, clean, write

NAIVE = json.dumps(
    {"event_id": "n1", "user_id": "u1", "item_id": "i1", "type": "click", "timestamp": "2024-05-25T10:00"}
)
REJECTED = [
    {"table": "interactions", "row": NAIVE, "reason": "timestamp has no zone", "origin": "shop"},
    {"table": "interactions", "row": "not json", "reason": "broken line", "origin": "shop"},
]


def config(workspace: Path, **data: Any) -> Config:
    settings = {"source": "shop", "event_weights": {"click": 1.0}, "label_types": ("click",), **data}
    return Config(
        workspace=str(workspace),
        data=DataConfig(**settings),
        validation=ValidationConfig(min_interactions=1),
    )


def soiled() -> Tables:
    """Two events of an unknown type, one of an unknown item, one duplicate."""
    tables = clean()
    row = tables["interactions"][0]
    tables["interactions"] += [
        {**row, "event_id": "h1", "type": "hover", "impression_id": None},
        {**row, "event_id": "h2", "type": "hover", "impression_id": None},
        {**row, "event_id": "s1", "item_id": "stranger", "impression_id": None},
        {**row, "event_id": "e3"},
    ]
    return tables


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace whose last validation set rows aside."""
    place = tmp_path / "ws"
    settings = config(place)
    source = write(tmp_path / "source", soiled(), REJECTED)
    validate(
        source,
        settings.validation,
        settings.data,
        tmp_path / "a",
        tmp_path / "q",
        tmp_path / "r",
        NOW,
        place / "validation",
    )
    return place


def again(workspace: Path, **data: Any) -> Replayed:
    return replay(config(workspace, **data), None, None, NOW)


def rows(workspace: Path) -> list[str]:
    folder = workspace / "replayed"
    files = sorted(folder.glob("interactions-*.parquet"))
    return sorted(one for file in files for one in pq.read_table(file)["event_id"].to_pylist())


def test_without_a_fix_nothing_passes(workspace: Path) -> None:
    done = again(workspace)
    assert done.passed == {}
    assert done.left == {
        "event-type-known": 2,
        "event-item-known": 1,
        "event-id-unique": 1,
        "timestamp has no zone": 1,
        "broken line": 1,
    }
    assert done.rows_left == 6
    assert not (workspace / "replayed").exists()


def test_a_type_and_a_zone_in_the_configuration_let_their_rows_pass(workspace: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in sorted((tmp_path / "q").iterdir())}
    fix = {"event_weights": {"click": 1.0, "hover": 0.1}, "timezone": "Europe/Paris"}
    done = again(workspace, **fix)
    assert done.passed == {"interactions": 3}
    assert rows(workspace) == ["h1", "h2", "n1"]
    (segment,) = (workspace / "replayed").glob("interactions-*.parquet")
    (zoned,) = [row for row in pq.read_table(segment).to_pylist() if row["event_id"] == "n1"]
    # 10:00 in Paris in May is 08:00 UTC.
    assert zoned["timestamp"].isoformat() == "2024-05-25T08:00:00+00:00"
    assert before == {path: path.read_bytes() for path in sorted((tmp_path / "q").iterdir())}


def test_a_second_replay_changes_nothing(workspace: Path) -> None:
    fix = {"event_weights": {"click": 1.0, "hover": 0.1}}
    again(workspace, **fix)
    content = {path.name: path.read_bytes() for path in (workspace / "replayed").iterdir()}
    done = again(workspace, **fix)
    assert (done.passed, done.already) == ({}, 2)
    assert content == {path.name: path.read_bytes() for path in (workspace / "replayed").iterdir()}


def test_a_row_edited_in_place_passes(workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "q" / "interactions.parquet"
    # As an editor of tables leaves it: other types, all columns, the reasons too.
    frame = pq.read_table(path).to_pandas()
    frame.loc[frame["event_id"] == "s1", "item_id"] = "i2"
    frame.to_parquet(path)
    assert again(workspace).passed == {"interactions": 1}
    assert rows(workspace) == ["s1"]


def test_items_that_were_accepted_meanwhile_let_their_events_pass(workspace: Path, tmp_path: Path) -> None:
    tables = clean()
    tables["items"].append({"item_id": "stranger", "title": "No longer", "attributes": []})
    newer = tmp_path / "newer"
    write(newer, tables)
    assert replay(config(workspace), tmp_path / "q", newer, NOW).passed == {"interactions": 1}


def test_accepted_lists_of_before_a_column_of_the_contract_are_read(workspace: Path, tmp_path: Path) -> None:
    newer = write(tmp_path / "newer", clean())
    path = newer / "impressions.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["feature_values", "history_digest"]), path)
    fix = config(workspace, event_weights={"click": 1.0, "hover": 0.1})
    assert replay(fix, tmp_path / "q", newer, NOW).passed == {"interactions": 2}


def test_a_renamed_column_in_the_mapping_lets_rejected_rows_pass(workspace: Path, tmp_path: Path) -> None:
    text = json.dumps({"who": {"id": "u1"}, "item_id": "i1", "type": "click", "timestamp": "2024-05-25T10:00Z"})
    row = {
        "table": "interactions",
        "row": text,
        "reason": "user_id is missing",
        "origin": "shop",
        "file": "",
        "line": 3,
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "q" / "rejected.parquet")
    assert again(workspace).passed == {}
    assert again(workspace, mapping={"interactions": {"user_id": "who.id"}}).passed == {"interactions": 1}


def test_the_next_run_reads_what_passed_before_the_source_it_came_from(workspace: Path, tmp_path: Path) -> None:
    data = config(workspace, source=str(tmp_path / "source")).data
    assert with_replayed(data, workspace).replayed == "none"
    path = tmp_path / "q" / "interactions.parquet"
    frame = pq.read_table(path).to_pandas()
    frame.loc[frame["event_id"] == "s1", "item_id"] = "i2"
    frame.to_parquet(path)
    again(workspace)
    joined = with_replayed(data, workspace)
    assert [one.source for one in joined.every_source()] == [str(workspace / "replayed"), data.source]
    assert with_replayed(joined, workspace) == joined
    assert with_replayed(data.model_copy(update={"replayed": "none"}), workspace).replayed == "none"
    # The edited row takes the place of the one it was.
    ingest(joined, tmp_path / "ingested")
    (row,) = [
        row
        for row in pq.read_table(tmp_path / "ingested" / "interactions.parquet").to_pylist()
        if row["event_id"] == "s1"
    ]
    assert (row["item_id"], row["origin"]) == ("i2", "replayed")


@pytest.fixture
def erasing(tmp_path: Path) -> Iterator[SqliteStore]:
    """A live store that knows two of the users."""
    store = open_store(tmp_path / "live.db")
    item = Item(item_id="i1", title="One")
    clicks = [Interaction(event_id=f"x{n}", user_id=f"u{n}", item_id="i1", type="click", timestamp=NOW) for n in (0, 1)]
    store.append([item, *clicks])
    yield store
    store.close()


def ingested(config: DataConfig, workspace: Path, folder: Path) -> set[str]:
    """Ids of the events of a run."""
    ingest(with_replayed(config, workspace), folder, workspace)
    return set(pq.read_table(folder / "interactions.parquet")["event_id"].to_pylist())


def test_an_erased_user_comes_back_through_no_replayed_row(
    workspace: Path, tmp_path: Path, erasing: SqliteStore
) -> None:
    write(tmp_path / "clean", clean())
    fix: dict[str, Any] = {
        "source": str(tmp_path / "clean"),
        "live_store": str(tmp_path / "live.db"),
        "event_weights": {"click": 1.0, "hover": 0.1},
        "timezone": "UTC",
    }
    again(workspace, **fix)
    settings = config(workspace, **fix).data
    assert {"h1", "h2", "n1", "x1"} <= ingested(settings, workspace, tmp_path / "first")

    erasing.erase("u1")
    found = ingested(settings, workspace, tmp_path / "second")
    assert {"h1", "h2"} <= found
    assert not {"n1", "x1"} & found
    assert rows(workspace) == ["h1", "h2"]
    # The quarantine still has the row: it does not pass again.
    done = again(workspace, **fix)
    assert (done.passed, done.left[ERASED]) == ({}, 1)
    assert rows(workspace) == ["h1", "h2"]

    erasing.erase("u0")
    assert not {"h1", "h2", "n1"} & ingested(settings, workspace, tmp_path / "third")
    assert list((workspace / "replayed").iterdir()) == []
    # All that is in the quarantine but the broken line is of the two.
    assert again(workspace, **fix).left == {ERASED: 5, "broken line": 1}


def test_no_store_is_made_to_look_for_erasures(workspace: Path, tmp_path: Path) -> None:
    fix = {"event_weights": {"click": 1.0, "hover": 0.1}, "live_store": str(tmp_path / "none.db")}
    assert again(workspace, **fix).passed == {"interactions": 2}
    assert not (tmp_path / "none.db").exists()


def test_no_validation_and_no_quarantine_are_named(tmp_path: Path, workspace: Path) -> None:
    with pytest.raises(DataError, match="no validation whose quarantine rows are still there"):
        replay(config(tmp_path / "empty"), None, None, NOW)
    with pytest.raises(DataError, match="holds no quarantine"):
        replay(config(workspace), tmp_path / "ws", None, NOW)
    (tmp_path / "q" / "users.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"users\.parquet cannot be read"):
        again(workspace)
