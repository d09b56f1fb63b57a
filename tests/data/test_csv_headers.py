"""The first lines of a CSV file: the header, Excel's own line before it, or a row for want of one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from liverank.errors import DataError
from tests.data.writing import NOON, clicks_csv, read_contract

AT = "2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    "row",
    [f"u1,a,{AT},click", "1,2268318,2520377,pv,1511544070", "196,242,3,881250949", "u1,a,2026-01-31", "1,2,3"],
)
def test_a_file_without_a_header_loses_no_row_silently(tmp_path, row):
    path = clicks_csv(tmp_path / "clicks.csv", row, head=row)
    with pytest.raises(DataError, match=r"clicks\.csv, line 1 looks like data") as caught:
        read_contract(path)
    assert "Add a line with the columns' names" in caught.value.hint


def test_columns_that_are_only_counted_can_be_mapped(tmp_path):
    path = clicks_csv(tmp_path / "clicks.csv", f"u,a,{AT}", head="0,1,2")
    mapping = {"interactions": {"user_id": "0", "item_id": "1", "timestamp": "2"}}
    assert read_contract(path, mapping=mapping).tables["interactions"].num_rows == 1


def test_excels_own_first_line_says_the_separator(tmp_path):
    path = clicks_csv(tmp_path / "clicks.csv", f"u;a;{AT}", f"v;;{AT}", head="sep=;\nuser_id;item_id;timestamp")
    dataset = read_contract(path)
    assert dataset.tables["interactions"].column("user_id").to_pylist() == ["u"]
    assert dataset.rejected.column("line").to_pylist() == [4]


@pytest.mark.parametrize("row", [f"u;a;{AT};3", f'u;a;{AT};"3,5"', f"u;a;{AT};3,5"])
def test_a_comma_in_a_name_does_not_hide_the_semicolons(tmp_path, row):
    path = clicks_csv(tmp_path / "clicks.csv", row, head="user_id;item_id;timestamp;price, EUR")
    assert read_contract(path).tables["interactions"].column("item_id").to_pylist() == ["a"]


def test_semicolons_in_a_name_do_not_hide_the_commas(tmp_path):
    path = clicks_csv(tmp_path / "clicks.csv", f"u,a,{AT},3", head="user_id,item_id,timestamp,a;b")
    assert read_contract(path).tables["interactions"].num_rows == 1


@pytest.mark.parametrize("zone", ["Z", " UTC", "UTC", " +00:00", " Z", "+0000", " +00"])
def test_zones_after_a_blank_and_the_word_utc(tmp_path, zone):
    rows = [f"u,a,2026-01-31 12:00:00{zone}", "u,b,2026-01-31 12:00:00 +02:00", "u,c,2026-01-31 12:00:00.5 UTC"]
    times = read_contract(clicks_csv(tmp_path / "clicks.csv", *rows)).tables["interactions"].column("timestamp")
    assert sorted(times.to_pylist()) == [NOON - timedelta(hours=2), NOON, NOON + timedelta(seconds=0.5)]


def test_a_day_is_no_zone(tmp_path):
    with pytest.raises(DataError, match="has no zone"):
        read_contract(clicks_csv(tmp_path / "clicks.csv", "u,a,2026-01-31", "u,a,2026-01-31 12:00:00"))
