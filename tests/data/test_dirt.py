"""Dirt: every kind by its own switch, beside the good rows, counted, and the same however the rows are cut."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from liverank.config.data import DEFAULT_WEIGHTS
from liverank.data.dataset import read_dataset, read_source
from liverank.data.dirt import KINDS, Dirt, chances
from liverank.data.synthetic import generate, synthetic_dataset
from liverank.data.synthetic_settings import MIXTURE, DirtShares, SyntheticSettings

SIZE = {"users": 150, "items": 120, "days": 10, "seed": 3}
EVERY_KIND = dict.fromkeys(KINDS, 0.03)


@pytest.fixture(scope="module")
def clean():
    return synthetic_dataset(SyntheticSettings(**SIZE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("dirty")
    generate(SyntheticSettings(**SIZE, dirt=EVERY_KIND), out)
    return out


@pytest.fixture(scope="module")
def told(folder):
    return read_source(folder)["dirt"]


@pytest.fixture(scope="module")
def dirty(folder):
    return read_dataset(folder)


def dirty_rows(table, key, kind):
    return [row for row in table.to_pylist() if row[key].startswith(f"dirt-{kind}-")]


def test_the_good_rows_are_all_there(clean, dirty):
    for name, key in (("items", "item_id"), ("impressions", "impression_id")):
        rows = dirty.tables[name]
        assert rows.filter(pc.invert(pc.starts_with(rows[key], "dirt"))).equals(clean.tables[name])
    rows = dirty.tables["interactions"].to_pylist()
    kept = {row["event_id"]: row | {"received_at": None} for row in rows if row["event_id"].startswith("event")}
    assert list(kept.values()) == clean.tables["interactions"].to_pylist()


def test_shares_are_kept_and_counted(clean, told):
    tables = {"items": ("empty_text", "cut_text", "bad_encoding"), "impressions": ("position_gap", "bad_propensity")}
    for kind in KINDS:
        name = next((name for name, kinds in tables.items() if kind in kinds), "interactions")
        expected = 0.03 * clean.tables[name].num_rows
        assert told[kind] == pytest.approx(expected, abs=4 * np.sqrt(expected) + 1), kind


def test_interactions_are_broken_as_their_kind_says(dirty, told):
    rows = dirty.tables["interactions"]
    unknown = dirty_rows(rows, "event_id", "unknown-item")
    assert len(unknown) == told["unknown_item"]
    assert {row["item_id"] for row in unknown}.isdisjoint(dirty.tables["items"]["item_id"].to_pylist())
    future = dirty_rows(rows, "event_id", "future")
    assert len(future) == told["future"]
    assert all(row["timestamp"].year >= 2035 for row in future)
    hover = dirty_rows(rows, "event_id", "unknown-type")
    assert len(hover) == told["unknown_type"]
    assert all(row["type"] not in DEFAULT_WEIGHTS for row in hover)
    negative = dirty_rows(rows, "event_id", "negative-value")
    assert len(negative) == told["negative_value"]
    assert all(row["value"] == -1 for row in negative)
    assert rows.num_rows - pc.count_distinct(rows["event_id"]).as_py() == told["duplicate"]


def test_late_and_overtaken_events_arrive_after_they_happened(dirty, told):
    rows = dirty.tables["interactions"]
    rows = rows.filter(pc.and_(pc.starts_with(rows["event_id"], "event"), pc.is_valid(rows["received_at"])))
    ids = rows["event_id"].to_pylist()
    waits = {
        key: one.total_seconds()
        for key, one in zip(ids, pc.subtract(rows["received_at"], rows["timestamp"]).to_pylist(), strict=True)
    }
    late = [wait for wait in waits.values() if wait >= 3600]
    assert len(late) == told["late"]
    assert max(late) < 72 * 3600
    assert np.median(late) > 4 * 3600
    assert len(waits) - len(late) == told["out_of_order"]
    assert all(0 < wait <= 300 for wait in waits.values() if wait < 3600)


def test_impressions_are_broken_as_their_kind_says(dirty, told):
    lists = dirty.tables["impressions"]
    gaps = dirty_rows(lists, "impression_id", "position-gap")
    assert len(gaps) == told["position_gap"]
    assert all([line["position"] for line in row["shown"]][:2] == [1, 3] for row in gaps)
    bad = dirty_rows(lists, "impression_id", "bad-propensity")
    assert len(bad) == told["bad_propensity"]
    assert all([line["propensity"] for line in row["shown"]][:2] == [0.0, 1.5] for row in bad)


def test_items_are_broken_as_their_kind_says(clean, dirty, told):
    items = dirty.tables["items"]
    assert all(row["title"] == row["text"] == "" for row in dirty_rows(items, "item_id", "empty-text"))
    texts = set(clean.tables["items"]["text"].to_pylist())
    cut = dirty_rows(items, "item_id", "cut-text")
    assert len(cut) == told["cut_text"]
    assert all(row["text"] not in texts and any(text.startswith(row["text"]) for text in texts) for row in cut)
    garbled = dirty_rows(items, "item_id", "bad-encoding")
    assert len(garbled) == told["bad_encoding"]
    assert all(row["text"].encode("latin-1").decode().removesuffix(" –") in texts for row in garbled)


def test_what_the_contract_cannot_say_is_among_the_rejected_rows(dirty, told):
    rejected = dirty.rejected.to_pylist()
    nameless = [json.loads(row["row"]) for row in rejected if row["reason"] == "user_id is missing"]
    assert len(nameless) == told["no_user"]
    assert all(row["user_id"] is None for row in nameless)
    broken = [row for row in rejected if row["reason"].endswith(("is not a number", "is not a time"))]
    assert len(broken) == told["broken_field"] == len(rejected) - told["no_user"]
    assert {row["reason"].split(" ")[0] for row in broken} == {"value", "timestamp"}


def test_each_switch_turns_on_its_kind_alone():
    for kind in KINDS:
        made = Dirt(DirtShares(**{kind: 0.2}), seed=1)
        _pass_through(made)
        assert set(made.told()) == {kind}


def _pass_through(dirt):
    small = synthetic_dataset(SyntheticSettings(users=30, items=40, days=3, seed=1))
    dirt.items(small.tables["items"])
    for name in ("impressions", "interactions"):
        table = small.tables[name]
        getattr(dirt, name)(table, np.arange(table.num_rows))


def test_a_number_mixes_the_usual_kinds_in_equal_parts():
    shares = SyntheticSettings(dirt=0.06).dirt.model_dump(exclude_defaults=True)
    assert shares == dict.fromkeys(MIXTURE, 0.01)
    with pytest.raises(ValueError, match="lie between 0 and"):
        SyntheticSettings(dirt=0.6)


def test_which_rows_are_soiled_does_not_depend_on_how_they_are_cut(clean):
    table, shares = clean.tables["interactions"], DirtShares(unknown_item=0.1, late=0.2)
    whole = Dirt(shares, seed=4).interactions(table, np.arange(table.num_rows))
    cut = Dirt(shares, seed=4)
    parts = [
        cut.interactions(table.slice(a, 100), a + np.arange(min(100, table.num_rows - a)))
        for a in range(0, table.num_rows, 100)
    ]
    by = [("event_id", "ascending")]
    assert pa.concat_tables(parts).sort_by(by).equals(whole.sort_by(by))


def test_chances_are_uniform_and_unlike_for_each_kind():
    numbers = np.arange(200_000)
    late, future = chances(1, "late", numbers), chances(1, "future", numbers)
    for drawn in (late, future, chances(2, "late", numbers)):
        assert np.histogram(drawn, 10, (0, 1))[0] == pytest.approx(20_000, abs=600)
    assert abs(np.corrcoef(late, future)[0, 1]) < 0.01
    assert abs(np.corrcoef(late[1:], late[:-1])[0, 1]) < 0.01
