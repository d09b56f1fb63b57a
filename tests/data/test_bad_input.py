"""Bad sources end in one error that names the file, what was expected and what to do; bad rows are kept and counted."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from liverank.config import load_config
from liverank.config.data import DataConfig
from liverank.data.dataset import read_dataset
from liverank.data.ingest import ingest
from liverank.errors import ConfigError, DataError
from tests.data.writing import NOON, clicks_csv, parquet_file, read_contract

GOOD = "u1,a,2026-01-31T12:00:00Z"


def refused(source, **settings):
    with pytest.raises(DataError) as caught:
        ingest(DataConfig(source=str(source), **settings), source.parent / "out" if source else None)
    assert caught.value.hint, "an error says what to do"
    return str(caught.value)


def test_a_source_that_is_not_there(tmp_path):
    assert str(tmp_path / "gone.csv") in refused(tmp_path / "gone.csv")


def test_a_folder_without_data_files(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    message = refused(tmp_path)
    assert "notes.txt" in message
    assert ".parquet" in message


@pytest.mark.parametrize("name", ["clicks.csv", "clicks.parquet", "clicks.jsonl"])
def test_an_empty_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert f"{name} is empty" in refused(tmp_path / name)


def test_a_file_that_is_no_parquet(tmp_path):
    (tmp_path / "clicks.parquet").write_bytes(b"PAR1 this is no parquet PAR1")
    assert "clicks.parquet cannot be read as Parquet" in refused(tmp_path / "clicks.parquet")


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"user_id,item_id,timestamp\nu1,a,2026-01-31T12:00:00Z\nu\xff,a,2026-01-31T12:00:00Z\n", "line 3, column 2"),
        (b"user_\xff,item_id,timestamp\n", "line 1, column 6"),
    ],
)
def test_letters_that_are_not_utf8_are_found(tmp_path, content, where):
    (tmp_path / "clicks.csv").write_bytes(content)
    assert f"clicks.csv, {where} is not UTF-8; the file may be in " in refused(tmp_path / "clicks.csv")


def test_a_truncated_parquet_file(tmp_path):
    path = parquet_file(tmp_path / "clicks.parquet", user_id=["u"], item_id=["a"], timestamp=pa.array([NOON]))
    path.write_bytes(path.read_bytes()[:-20])
    assert "clicks.parquet cannot be read as Parquet" in refused(path)


def test_json_lines_that_are_no_json(tmp_path):
    (tmp_path / "clicks.jsonl").write_text("user,item\nu,a\n")
    assert "is not a JSON object" in refused(tmp_path / "clicks.jsonl")


def test_wrong_columns_name_what_was_expected_and_found(tmp_path):
    message = refused(clicks_csv(tmp_path / "interactions.csv", GOOD, head="customer,item_id,timestamp"))
    assert "no column user_id" in message
    assert "user_id, item_id, timestamp; found customer, item_id, timestamp" in message


def test_a_table_that_cannot_be_told(tmp_path):
    message = refused(clicks_csv(tmp_path / "export.csv", "1,2", head="foo,bar"))
    assert "found the columns foo, bar" in message


def test_semicolons_and_repeated_columns(tmp_path):
    assert "with commas" in refused(clicks_csv(tmp_path / "a.csv", "u;a|b", head="user_id;item_id|timestamp"))
    assert "more than once" in refused(clicks_csv(tmp_path / "b.csv", "u,a", head="user_id,user_id"))


def test_a_header_without_rows(tmp_path):
    assert "holds no interaction" in refused(clicks_csv(tmp_path / "clicks.csv"))


@pytest.mark.parametrize("cell", ["2026-01-31T12:00:00", "2026-01-31 12:00:00", "2026-01-31"])
def test_a_column_without_any_zone_stops_and_says_how_to_mend_it(tmp_path, cell):
    path = clicks_csv(tmp_path / "clicks.csv", f"u,a,{cell}", f"v,a,{cell}")
    message = refused(path)
    assert "timestamp has no zone in any of its 2 rows" in message
    assert "data.timezone" in message


def test_a_parquet_column_without_zone(tmp_path):
    path = parquet_file(
        tmp_path / "clicks.parquet",
        user_id=["u"],
        item_id=["a"],
        timestamp=pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us")),
    )
    assert "has no zone" in refused(path)
    ingest(DataConfig(source=str(path), timezone="Asia/Tokyo"), tmp_path / "out")
    (event,) = read_dataset(tmp_path / "out").tables["interactions"].to_pylist()
    assert event["timestamp"] == NOON.replace(hour=3)


def test_rows_without_zone_are_set_aside_among_good_ones_or_read_in_the_given_zone(tmp_path):
    path = clicks_csv(tmp_path / "clicks.csv", GOOD, "u2,a,2026-07-31T12:00:00")
    dataset = read_contract(str(path))
    assert dataset.tables["interactions"].num_rows == 1
    assert dataset.rejected.to_pylist()[0]["reason"] == "timestamp has no zone"
    zoned = read_contract(str(path), "Europe/London").tables["interactions"].column("timestamp").to_pylist()
    assert [time.hour for time in zoned] == [12, 11]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",a,2026-01-31T12:00:00Z,click,1,", "user_id is missing"),
        ("u,,2026-01-31T12:00:00Z,click,1,", "item_id is missing"),
        ("u,a,,click,1,", "timestamp is missing"),
        ("u,a,yesterday,click,1,", "timestamp is not an ISO time"),
        ("u,a,2026-02-31T12:00:00Z,click,1,", "timestamp is not an ISO time"),
        ("u,a,2026-01-31T12:00:00Z,,1,", "type is missing"),
        ("u,a,2026-01-31T12:00:00Z,click,many,", "value is not a number"),
        ('u,a,2026-01-31T12:00:00Z,click,1,"{broken"', "context is not a flat JSON object of text and numbers"),
        (f"{'u' * 257},a,2026-01-31T12:00:00Z,click,1,", "user_id is longer than 256 letters"),
        ("u,a,2026-01-31T12:00:00Z", "has 3 fields where the header has 6"),
    ],
)
def test_each_row_that_does_not_fit_is_kept_with_its_reason(tmp_path, line, reason):
    head = "user_id,item_id,timestamp,type,value,context"
    good = 'u1,a,2026-01-31T12:00:00Z,click,1,"{""device"": ""mobile""}"'
    path = clicks_csv(tmp_path / "clicks.csv", good, line, head=head)
    summary = ingest(DataConfig(source=str(path)), tmp_path / "out")
    rejected = read_dataset(tmp_path / "out").rejected.to_pylist()
    assert [row["reason"] for row in rejected] == [reason]
    assert summary.rows["interactions"] == summary.rows["rejected"] == 1


def test_rejected_rows_are_json_that_holds_the_row(tmp_path):
    path = clicks_csv(tmp_path / "clicks.csv", GOOD, ",茶壶,2026-01-31T12:00:00Z")
    (row,) = read_contract(str(path)).rejected.to_pylist()
    assert row["table"] == "interactions"
    assert json.loads(row["row"]) == {"user_id": None, "item_id": "茶壶", "timestamp": "2026-01-31T12:00:00Z"}


def test_unknown_types_duplicates_and_odd_values_stay_for_validation(tmp_path):
    head = "event_id,user_id,item_id,timestamp,type,value"
    line = "e1,u,a,2026-01-31T12:00:00Z,hover,-3"
    dataset = read_contract(str(clicks_csv(tmp_path / "clicks.csv", line, line, head=head)))
    events = dataset.tables["interactions"].to_pylist()
    assert [(event["event_id"], event["type"], event["value"]) for event in events] == [("e1", "hover", -3.0)] * 2


def test_unknown_columns_are_said_to_be_unread(tmp_path):
    path = clicks_csv(tmp_path / "clicks.csv", f"{GOOD},mobile", head="user_id,item_id,timestamp,kontext")
    assert read_contract(str(path)).notes[0] == (
        "clicks.csv: the column kontext is not in the contract and was not read; did you mean context?"
    )


def test_a_record_tag_nobody_knows(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"record": "article", "item_id": "a"}\n')
    assert "'article'" in refused(tmp_path / "a.jsonl")


def test_no_source_at_all(tmp_path):
    with pytest.raises(DataError, match=r"Neither data\.source nor data\.live_store"):
        ingest(DataConfig(), tmp_path)


def test_a_zone_that_does_not_exist_is_a_configuration_error():
    with pytest.raises(ConfigError, match="Europe/Pariss"):
        load_config(overrides={"data.timezone": "Europe/Pariss"})


def test_a_url_of_no_known_kind(tmp_path):
    with pytest.raises(DataError, match=r"ftpx://user/clicks\.csv cannot be looked at: Protocol not known: ftpx"):
        ingest(DataConfig(source="ftpx://user/clicks.csv"), tmp_path / "out")


def test_ids_lose_the_blanks_around_them_and_one_of_blanks_is_missing(tmp_path):
    at = "2026-01-31T12:00:00Z"
    path = clicks_csv(tmp_path / "clicks.csv", f" u1 ,a\u00a0,{at}", f"u 1,b,{at}", f"  ,b,{at}")
    dataset = read_contract(path)
    events = dataset.tables["interactions"].to_pylist()
    assert sorted((event["user_id"], event["item_id"]) for event in events) == [("u 1", "b"), ("u1", "a")]
    assert dataset.rejected.column("reason").to_pylist() == ["user_id is missing"]
