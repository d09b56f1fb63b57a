"""Which table a file's rows are of: its columns say it where they can, else its name; also of the lines set aside."""

from __future__ import annotations

import json

import pytest

from liverank.errors import DataError
from tests.data.writing import clicks_csv, read_contract

AT = "2026-01-31T12:00:00Z"
EVENTS = "user_id,item_id,timestamp"


@pytest.mark.parametrize("name", ["users_clicks.csv", "items_viewed.csv", "users.csv", "items.csv", "export.csv"])
def test_columns_of_events_say_more_than_a_name(tmp_path, name):
    path = clicks_csv(tmp_path / name, f"u,a,{AT}", head=EVENTS)
    assert read_contract(path).tables["interactions"].num_rows == 1


def test_items_that_know_who_sells_them_since_when_stay_items(tmp_path):
    path = clicks_csv(tmp_path / "items.csv", f"u,a,{AT},Tea", head=f"{EVENTS},title")
    assert read_contract(path).tables["items"].column("title").to_pylist() == ["Tea"]


def test_impressions_without_the_shown_list_are_no_clicks(tmp_path):
    path = clicks_csv(tmp_path / "impressions.csv", f"u,a,{AT}", head=EVENTS)
    with pytest.raises(DataError, match="impressions need impression_id, user_id, timestamp, shown"):
        read_contract(path)


def test_a_mapping_that_fits_says_more_than_a_name(tmp_path):
    path = clicks_csv(tmp_path / "users.csv", f"u,a,{AT}", head="who,what,at")
    mapping = {"interactions": {"user_id": "who", "item_id": "what", "timestamp": "at"}}
    assert read_contract(path, mapping=mapping).tables["interactions"].num_rows == 1
    people = clicks_csv(tmp_path / "users-2.csv", "u,Ann", head="user_id,who")
    mapping = {"items": {"title": "who"}}
    assert read_contract(people, mapping=mapping).tables["users"].num_rows == 1


def test_a_mapping_that_names_a_missing_column_says_which_of_which_table(tmp_path):
    path = clicks_csv(tmp_path / "export.csv", f"u,a,{AT}", head="who,what,at")
    mapping = {"interactions": {"user_id": "who", "item_id": "what", "timestamp": "wen"}}
    with pytest.raises(DataError, match=r"data\.mapping\.interactions\.timestamp names wen, which is not there"):
        read_contract(path, mapping=mapping)


@pytest.mark.parametrize(
    ("name", "head", "good", "table"),
    [
        ("clicks.csv", EVENTS, f"u,a,{AT}", "interactions"),
        ("items.csv", "item_id,title", "a,Tea", "items"),
        ("users.csv", "user_id,name", "u,Ann", "users"),
        ("users.csv", "user_id,name", 'u,"Ann"', "users"),
    ],
)
def test_a_line_that_is_no_row_counts_against_its_table(tmp_path, name, head, good, table):
    rejected = read_contract(clicks_csv(tmp_path / name, good, "a,b,c,d,e", head=head)).rejected.to_pylist()
    assert [(row["table"], row["line"]) for row in rejected] == [(table, 3)]


def test_a_json_line_cut_off_counts_against_its_table(tmp_path):
    path = tmp_path / "clicks.jsonl"
    row = json.dumps({"user_id": "u", "item_id": "a", "timestamp": AT})
    path.write_text(f"{row}\n{row[:20]}\n")
    assert read_contract(path).rejected.column("table").to_pylist() == ["interactions"]


@pytest.mark.parametrize("quoted", ["u", '"u"'])
def test_a_letter_cut_at_the_end_sets_its_line_aside(tmp_path, quoted):
    path = clicks_csv(tmp_path / "clicks.csv", f"{quoted},a,{AT},view", head=f"{EVENTS},type")
    path.write_bytes(path.read_bytes() + f"v,b,{AT},é".encode()[:-1])
    dataset = read_contract(path)
    assert dataset.tables["interactions"].column("user_id").to_pylist() == ["u"]
    (row,) = dataset.rejected.to_pylist()
    assert (row["table"], row["line"], row["reason"]) == ("interactions", 3, "is cut off within a letter")


@pytest.mark.parametrize(
    ("value", "kind"), [({"id": 7}, "a JSON object"), ([7], "a JSON list"), (True, "true or false")]
)
@pytest.mark.parametrize("field", ["user_id", "item_id"])
def test_what_is_no_id_is_set_aside_with_its_reason(tmp_path, value, kind, field):
    row = {"user_id": "u", "item_id": 7, "timestamp": AT}
    path = tmp_path / "clicks.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (row, {**row, field: value})))
    dataset = read_contract(path)
    assert dataset.tables["interactions"].column("item_id").to_pylist() == ["7"]
    (aside,) = dataset.rejected.to_pylist()
    assert (aside["line"], aside["reason"]) == (2, f"{field} is {kind} where text or a number is expected")


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_numbers_and_truth_in_attributes_become_text(tmp_path, form):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"item_id": "a", "attributes": {"price": 9.99, "new": True, "left": 3, "brand": "Tea", "none": None}}]
    nested = {"item_id": "b", "attributes": {"size": {"cm": 3}}}
    path = tmp_path / f"items.{form}"
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in (*rows, nested)))
    else:
        pq.write_table(pa.Table.from_pylist([*rows, nested]), path)
    dataset = read_contract(path)
    (item,) = dataset.tables["items"].to_pylist()
    assert dict(item["attributes"]) == {"price": "9.99", "new": "true", "left": "3", "brand": "Tea"}
    (aside,) = dataset.rejected.to_pylist()
    assert aside["reason"] == "attributes is not a flat JSON object of text and numbers"


def test_what_python_calls_an_encoding_and_is_none_of_text_is_refused():
    from liverank.config.data import SourceConfig

    for name in ("rot13", "base64", "zip", "punycode", "unicode_escape"):
        with pytest.raises(ValueError, match="there is no encoding"):
            SourceConfig(encoding=name)
    assert SourceConfig(encoding="Latin-1").encoding == "iso8859-1"
