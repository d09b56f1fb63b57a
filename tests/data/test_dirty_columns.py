"""Columns as the world makes them: nested, of mixed types, times as numbers; each read, or refused by its name."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from liverank.config.data import DataConfig
from liverank.data.dataset import read_dataset
from liverank.data.ingest import ingest
from liverank.errors import ConfigError
from tests.data.dirty import HEAD, ROW, events, refused, written
from tests.data.writing import NOON, clicks_csv, parquet_file, read_contract


def test_nested_columns_are_refused_by_name_or_taken_apart_by_a_mapping(tmp_path):
    who = pa.array([{"id": "u1", "address": {"city": "Paris"}}])
    path = parquet_file(tmp_path / "clicks.parquet", user_id=who, item_id=["a"], timestamp=pa.array([NOON]))
    assert "column user_id holds struct" in refused(path)
    mapping = {"interactions": {"user_id": "user_id.id", "session_id": "user_id.address.city"}}
    (event,) = events(path, mapping=mapping)
    assert (event["user_id"], event["session_id"]) == ("u1", "Paris")


@pytest.mark.parametrize("form", ["jsonl", "parquet", "csv"])
def test_a_mapping_reaches_into_any_form(tmp_path, form):
    row = {
        "who": {"id": 7},
        "product": {"sku": "a", "tags": {"price": "3"}},
        "at": "2026-01-31T12:00:00Z",
        "what": "buy",
    }
    path = tmp_path / f"export.{form}"
    if form == "jsonl":
        written(path, json.dumps(row) + "\n")
    elif form == "parquet":
        parquet_file(path, **{name: pa.array([cell]) for name, cell in row.items()})
    else:
        cells = [cell if isinstance(cell, str) else json.dumps(cell).replace('"', '""') for cell in row.values()]
        clicks_csv(path, ",".join(f'"{cell}"' for cell in cells), head=",".join(row))
    mapping = {
        "interactions": {
            "user_id": "who.id",
            "item_id": "product.sku",
            "timestamp": "at",
            "type": "what",
            "value": "product.tags.price",
        }
    }
    (event,) = events(path, mapping=mapping)
    found = [event[name] for name in ("user_id", "item_id", "timestamp", "type", "value")]
    assert found == ["7", "a", NOON, "buy", 3.0]


def test_a_mapping_that_does_not_fit_says_so(tmp_path):
    path = clicks_csv(tmp_path / "interactions.csv", ROW, head=HEAD)
    assert "has no column who, which data.mapping.interactions.user_id names" in refused(
        path, mapping={"interactions": {"user_id": "who.id"}}
    )
    with pytest.raises(ConfigError, match=r"names the table 'clicks'"):
        events(path, mapping={"clicks": {"user_id": "u"}})
    with pytest.raises(ConfigError, match=r"names the field 'user'"):
        events(path, mapping={"interactions": {"user": "u"}})


def test_types_may_change_from_file_to_file(tmp_path):
    (tmp_path / "interactions").mkdir()
    for name, item in {"a": [7], "b": ["7"], "c": pa.array([7.0]), "d": pa.array([7.5])}.items():
        parquet_file(
            tmp_path / "interactions" / f"{name}.parquet", user_id=["u"], item_id=item, timestamp=pa.array([NOON])
        )
    assert sorted(event["item_id"] for event in events(tmp_path)) == ["7", "7", "7", "7.5"]


def test_numbers_as_text_and_text_as_numbers(tmp_path):
    path = parquet_file(
        tmp_path / "clicks.parquet",
        user_id=[1, 2],
        item_id=["a", "b"],
        timestamp=["2026-01-31T12:00:00Z", "1769860800"],
        value=["2.5", "many"],
    )
    dataset = read_contract(path)
    assert [(event["user_id"], event["value"]) for event in dataset.tables["interactions"].to_pylist()] == [("1", 2.5)]
    assert dataset.rejected.column("reason").to_pylist() == ["value is not a number"]


UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("form", ["int", "float", "text"])
def test_numbers_since_1970_are_told_apart_by_their_size_and_said(tmp_path, unit, form):
    instants = [datetime(1990, 1, 1, tzinfo=UTC), NOON, datetime(2099, 12, 31, tzinfo=UTC)]
    numbers = [int(instant.timestamp()) * UNITS[unit] for instant in instants]
    column = {"int": numbers, "float": pa.array([float(n) for n in numbers]), "text": [str(n) for n in numbers]}[form]
    path = parquet_file(tmp_path / "clicks.parquet", user_id=["u"] * 3, item_id=["a"] * 3, timestamp=column)
    dataset = read_contract(path)
    assert dataset.tables["interactions"].column("timestamp").to_pylist() == instants
    assert f"clicks.parquet: timestamp holds numbers; they were read as {unit} since 1970 in UTC." in dataset.notes


def test_numbers_that_are_no_plausible_time_are_rejected(tmp_path):
    numbers = [1769860800, 12345, 10**11, -5]
    path = parquet_file(tmp_path / "clicks.parquet", user_id=["u"] * 4, item_id=["a"] * 4, timestamp=numbers)
    dataset = read_contract(path)
    assert dataset.tables["interactions"].num_rows == 1
    assert dataset.rejected.column("reason").to_pylist() == ["timestamp is not an ISO time"] * 3


def test_a_day_is_its_first_moment_in_the_zone(tmp_path):
    day = pa.array([NOON.date()])
    path = parquet_file(tmp_path / "clicks.parquet", user_id=["u"], item_id=["a"], timestamp=day)
    assert "has no zone" in refused(path)
    (event,) = events(path, timezone="Europe/Paris")
    assert event["timestamp"] == datetime(2026, 1, 30, 23, tzinfo=UTC)


def test_item_texts_of_every_kind_and_many_categories(tmp_path):
    texts = ["", "🫖👩‍👩‍👧", "مرحبا بالعالم", "שלום \u202eעולם", "a\u0000b", "e\u0301"]
    ids = [f"i{n}" for n in range(100_000)]
    parquet_file(
        tmp_path / "items.parquet",
        item_id=ids,
        text=[texts[n % len(texts)] for n in range(len(ids))],
        category=[f"category {n}" for n in range(len(ids))],
    )
    clicks_csv(tmp_path / "clicks.csv", "u1,i3,2026-01-31T12:00:00Z,click", head=HEAD)
    summary = ingest(DataConfig(source=str(tmp_path)), tmp_path / "out")
    assert summary.rows == {"items": 100_000, "users": 0, "impressions": 0, "interactions": 1, "rejected": 0}
    items = {item["item_id"]: item for item in read_dataset(tmp_path / "out").tables["items"].slice(0, 50).to_pylist()}
    assert all(item["text"] == texts[int(name[1:]) % len(texts)] for name, item in items.items())


def test_repeated_columns_in_parquet(tmp_path):
    table = pa.table([pa.array(["u"]), pa.array(["v"])], names=["user_id", "user_id"])
    pa.parquet.write_table(table, tmp_path / "clicks.parquet")
    assert "has the column 'user_id' more than once" in refused(tmp_path / "clicks.parquet")
