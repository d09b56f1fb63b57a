"""Every format of the contract's own files gives the same rows back."""

from __future__ import annotations

import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverank.config.data import DataConfig
from liverank.data.dataset import ordered, read_dataset, write_dataset
from liverank.data.ingest import ingest
from liverank.events import (
    ARROW_SCHEMAS,
    LARGEST_SCORE,
    SHOWN_ITEM,
    FeatureValues,
    Impression,
    Interaction,
    Item,
    ShownItem,
    User,
    to_table,
)
from tests.data.writing import NOON, as_csv, as_jsonl, as_parquet, clicks_csv, parquet_file, read_contract

WRITERS = {"parquet": as_parquet, "jsonl": as_jsonl, "csv": as_csv}

# A CSV cannot tell carriage returns in a cell from line ends, and no format stores half of a surrogate pair.
texts = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=20)
ids = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Z")), min_size=1, max_size=12)
maps = st.dictionaries(ids, texts, max_size=3)
instants = st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)

items = st.builds(
    Item, item_id=ids, title=texts, text=texts, category=texts, attributes=maps, available_from=st.none() | instants
)
users = st.builds(User, user_id=ids, attributes=maps)
scores = st.floats(-LARGEST_SCORE, LARGEST_SCORE)
shown = st.builds(
    ShownItem,
    item_id=ids,
    position=st.integers(1, 1000),
    score=st.none() | scores,
    propensity=st.none() | st.sampled_from([0.125, 0.3, 1.0]),
    incoming_position=st.none() | st.integers(1, 1000),
    incoming_score=st.none() | scores,
)
feature_values = st.builds(
    FeatureValues,
    names=st.just(["recency", "ctr_7d"]),
    item_ids=st.lists(ids, max_size=2),
    values=st.lists(st.lists(finite, min_size=2, max_size=2), max_size=2),
)
impressions = st.builds(
    Impression,
    impression_id=ids,
    user_id=ids,
    timestamp=instants,
    shown=st.lists(shown, max_size=3),
    session_id=st.none() | ids,
    surface=texts,
    context=maps,
    model_version=texts,
    degraded=st.lists(texts, max_size=2),
    history_digest=texts,
    feature_values=st.none() | feature_values,
)
interactions = st.builds(
    Interaction,
    event_id=ids,
    user_id=ids,
    item_id=ids,
    type=st.sampled_from(["view", "click", "hover"]),
    timestamp=instants,
    value=finite,
    impression_id=st.none() | ids,
    session_id=st.none() | ids,
    context=maps,
)


def _some(records, key):
    return st.lists(records, min_size=1, max_size=4, unique_by=lambda record: getattr(record, key))


contents = st.fixed_dictionaries(
    {
        "items": _some(items, "item_id"),
        "users": _some(users, "user_id"),
        "impressions": _some(impressions, "impression_id"),
        "interactions": _some(interactions, "event_id"),
    }
)


@pytest.mark.parametrize("form", WRITERS)
@settings(max_examples=15, deadline=None)
@given(contents=contents)
def test_what_is_written_in_a_format_is_read_back(form, contents):
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[form](Path(folder), contents)
        dataset = read_contract(folder)
    assert dataset.rejected.num_rows == 0
    for name, records in contents.items():
        expected = to_table(records, name)
        assert ordered(dataset.tables[name], name).equals(ordered(expected, name)), name


def test_a_dataset_folder_survives_reading_and_writing(tmp_path, world):
    again = write_dataset(read_dataset(world), tmp_path / "again")
    assert again == write_dataset(read_contract(str(world)), tmp_path / "third")
    assert read_dataset(tmp_path / "again").synthetic
    assert read_dataset(tmp_path / "third").generator["seed"] == 11


def test_a_csv_of_clicks_is_enough(tmp_path):
    clicks_csv(tmp_path / "clicks.csv", "u1,a,2026-01-31T12:00:00Z", "u1,b,2026-01-31T13:00:00+02:00")
    summary = ingest(DataConfig(source=str(tmp_path / "clicks.csv")), tmp_path / "out")
    events = read_dataset(tmp_path / "out").tables["interactions"].to_pylist()
    assert [event["type"] for event in events] == ["click", "click"]
    assert [event["timestamp"] for event in events] == [NOON - timedelta(hours=1), NOON]
    assert [event["value"] for event in events] == [1.0, 1.0]
    assert len({event["event_id"] for event in events}) == 2
    assert summary.rows["items"] == 2
    assert any("2 item ids were taken from the interactions" in note for note in summary.notes)


def test_event_ids_made_from_content_are_the_same_in_any_order_and_format(tmp_path):
    rows = ["u1,a,2026-01-31T12:00:00Z", "u2,b,2026-01-31T12:00:00Z"]
    forward = read_contract(str(clicks_csv(tmp_path / "a.csv", *rows)))
    backward = read_contract(str(clicks_csv(tmp_path / "b.csv", *reversed(rows))))
    parquet = parquet_file(
        tmp_path / "c.parquet", user_id=["u1", "u2"], item_id=["a", "b"], timestamp=pa.array([NOON, NOON])
    )
    ids = [
        sorted(data.tables["interactions"].column("event_id").to_pylist())
        for data in (forward, backward, read_contract(str(parquet)))
    ]
    assert ids[0] == ids[1] == ids[2]


def test_items_csv_beside_the_clicks_is_the_catalogue(tmp_path):
    clicks_csv(tmp_path / "clicks.csv", "u1,a,2026-01-31T12:00:00Z")
    clicks_csv(tmp_path / "items.csv", 'a,"茶壶, 大",kitchen', head="item_id,title,category")
    dataset = read_contract(str(tmp_path))
    assert dataset.tables["items"].column("title").to_pylist() == ["茶壶, 大"]
    assert dataset.notes == []


def test_numbers_serve_as_ids_and_a_folder_named_like_a_table_holds_its_parts(tmp_path):
    (tmp_path / "interactions").mkdir()
    for part, user in enumerate((17850, 17851)):
        parquet_file(
            tmp_path / "interactions" / f"part-{part}.parquet",
            user_id=pa.array([user, None], pa.float64()),
            item_id=[1, 2],
            timestamp=pa.array([NOON, NOON]),
        )
    dataset = read_contract(str(tmp_path))
    assert dataset.tables["interactions"].column("user_id").to_pylist() == ["17850", "17851"]
    assert dataset.tables["interactions"].column("item_id").to_pylist() == ["1", "1"]
    assert dataset.rejected.column("reason").to_pylist() == ["user_id is missing"] * 2


def test_a_glob_reads_the_files_it_names(tmp_path):
    for day in ("01", "02", "03"):
        clicks_csv(tmp_path / f"clicks-{day}.csv", f"u{day},a,2026-01-{day}T12:00:00Z")
    dataset = read_contract(str(tmp_path / "clicks-0[12].csv"))
    assert dataset.tables["interactions"].num_rows == 2


def test_parquet_with_another_zone_unit_and_struct_maps_is_the_same_instant_in_utc(tmp_path):
    tokyo = pa.array([NOON.astimezone(timezone(timedelta(hours=9)))], pa.timestamp("ms", tz="Asia/Tokyo"))
    parquet_file(
        tmp_path / "clicks.parquet",
        user_id=pa.array(["u"]).dictionary_encode(),
        item_id=pa.array(["a"], pa.large_string()),
        timestamp=tokyo,
        context=[{"device": "mobile", "age": None}],
    )
    (event,) = read_contract(str(tmp_path)).tables["interactions"].to_pylist()
    assert event["timestamp"] == NOON
    assert event["context"] == [("device", "mobile")]


def test_the_hash_depends_on_the_rows_and_not_on_files_or_their_order(tmp_path):
    rows = [f"u{n},a,2026-01-31T12:00:{n:02d}Z" for n in range(20)]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    clicks_csv(tmp_path / "one" / "clicks.csv", *rows)
    clicks_csv(tmp_path / "two" / "b.csv", *rows[:7])
    clicks_csv(tmp_path / "two" / "a.csv", *rows[7:])
    hashes = [ingest(DataConfig(source=str(tmp_path / n)), tmp_path / f"{n}-out").hash for n in ("one", "two")]
    assert hashes[0] == hashes[1]
    clicks_csv(tmp_path / "two" / "a.csv", *rows[8:])
    assert ingest(DataConfig(source=str(tmp_path / "two")), tmp_path / "less").hash != hashes[0]


def test_written_tables_have_the_contracts_schema(world):
    dataset = read_dataset(world)
    assert {name: table.schema for name, table in dataset.tables.items()} == dict(ARROW_SCHEMAS)
    assert pc.all(pc.is_valid(dataset.tables["interactions"].column("timestamp"))).as_py()


LIST = {"impression_id": ["l"], "user_id": ["u"], "timestamp": pa.array([NOON])}
OLDER = {"item_id": "a", "position": 1, "score": 0.5}
WHOLE = {**OLDER, "propensity": None, "incoming_position": None, "incoming_score": None}


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[OLDER]]),
        pa.array([[{"position": 1, "score": 0.5, "item_id": "a"}]]),
        pa.array([[OLDER]], pa.large_list(pa.struct(pa.array([OLDER]).type))),
        pa.array([json.dumps([OLDER])]),
        pa.array([json.dumps([WHOLE])]),
    ],
    ids=["structs", "fields in another order", "large list", "text", "text with nulls"],
)
def test_a_shown_list_may_lack_fields(tmp_path, column):
    pq.write_table(pa.table({**LIST, "shown": column}), tmp_path / "impressions.parquet")
    dataset = read_contract(str(tmp_path))
    assert dataset.rejected.num_rows == 0
    assert dataset.tables["impressions"].column("shown").to_pylist() == [[WHOLE]]


def test_some_lists_may_say_how_they_came_in_and_others_not(tmp_path):
    line = {**WHOLE, "incoming_position": 7, "incoming_score": 0.25}
    for name, row in {"old": OLDER, "new": line}.items():
        (tmp_path / "impressions").mkdir(exist_ok=True)
        table = pa.table({**LIST, "impression_id": [name], "shown": pa.array([[row]])})
        pq.write_table(table, tmp_path / "impressions" / f"{name}.parquet")
    rows = read_contract(str(tmp_path)).tables["impressions"].to_pylist()
    assert {row["impression_id"]: row["shown"] for row in rows} == {"old": [WHOLE], "new": [line]}


@pytest.mark.parametrize("text", ['{"names": ["a"]}', "[]", "riddle", '{"names": ["a"], "item_ids": [], "values": 3}'])
def test_feature_values_that_are_none_set_their_list_aside(tmp_path, text):
    shown = pa.array([json.dumps([OLDER])])
    table = pa.table({**LIST, "shown": shown, "feature_values": [text]})
    pq.write_table(pa.concat_tables([table, table.set_column(4, "feature_values", pa.nulls(1, pa.string()))]),
                   tmp_path / "impressions.parquet")  # fmt: skip
    dataset = read_contract(str(tmp_path))
    assert dataset.rejected["reason"].to_pylist() == ["feature_values is not an object of names, item_ids and values"]
    assert dataset.tables["impressions"].column("feature_values").to_pylist() == [None]


def test_a_dataset_folder_of_before_the_incoming_fields_is_read(tmp_path, world):
    shutil.copytree(world, tmp_path / "old")
    path = tmp_path / "old" / "impressions.parquet"
    table = pq.read_table(path)
    older = pa.list_(pa.struct([(field.name, field.type) for field in SHOWN_ITEM if "incoming" not in field.name]))
    at = table.column_names.index("shown")
    pq.write_table(table.set_column(at, "shown", table.column("shown").cast(older)), path)
    for dataset in (read_dataset(tmp_path / "old"), read_contract(str(tmp_path / "old"))):
        (line, *_) = dataset.tables["impressions"].column("shown")[0].as_py()
        assert (line["position"], line["incoming_position"], line["incoming_score"]) == (1, None, None)
