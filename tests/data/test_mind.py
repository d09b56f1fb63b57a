"""MIND: lists with their clicks, histories before the first list, and the sample in full."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest

from tests.conftest import real_data
from tests.data.reading import at, lines, read, refused, rows, told

NEWS = "N{0}\tsports\tsoccer\tTitle {0}\tAbstract {0}\thttps://x/{0}\t[]\t[]"
BEHAVIORS = (
    "1\tU1\t11/15/2019 9:05:06 PM\tN1 N2\tN3-0 N4-1 N1-0",
    "2\tU1\t11/14/2019 12:00:00 AM\tN1 N2\tN3-1",
    "3\tU2\t11/15/2019 1:00:00 PM\t\tN3 N4",
)


@pytest.fixture
def folder(tmp_path):
    lines(tmp_path / "behaviors.tsv", *BEHAVIORS)
    lines(tmp_path / "news.tsv", *(NEWS.format(n) for n in (1, 2, 3, 4)))
    return tmp_path


def test_lists_and_their_clicks(folder):
    assert told(folder) == "mind"
    found = read(folder, timezone="UTC")
    assert rows(found, "impressions", "impression_id", "user_id", "timestamp") == [
        ("1", "U1", at(2019, 11, 15, 21, 5, 6)),
        ("2", "U1", at(2019, 11, 14)),
        ("3", "U2", at(2019, 11, 15, 13)),
    ]
    shown = found.tables["impressions"]["shown"][0].as_py()
    assert [(entry["item_id"], entry["position"]) for entry in shown] == [("N3", 1), ("N4", 2), ("N1", 3)]
    clicks = [row for row in rows(found, "interactions", "impression_id", "user_id", "item_id", "timestamp") if row[0]]
    assert clicks == [("1", "U1", "N4", at(2019, 11, 15, 21, 5, 6)), ("2", "U1", "N3", at(2019, 11, 14))]


def test_the_history_stands_before_the_users_first_list(folder):
    found = read(folder, timezone="UTC")
    past = [row for row in rows(found, "interactions", "impression_id", "item_id", "timestamp") if not row[0]]
    assert past == [(None, "N1", at(2019, 11, 13, 23, 59, 58)), (None, "N2", at(2019, 11, 13, 23, 59, 59))]


def test_times_without_a_zone_are_those_of_the_west_coast(folder):
    found = read(folder)
    assert rows(found, "impressions", "timestamp")[1] == (at(2019, 11, 14, 8),)
    assert any("America/Los_Angeles" in note for note in found.notes)
    assert any("shuffled" in note for note in found.notes)


def test_news_are_items(folder):
    item = read(folder).tables["items"].slice(0, 1).to_pylist()[0]
    assert (item["item_id"], item["title"], item["text"]) == ("N1", "Title 1", "Abstract 1")
    assert (item["category"], item["attributes"]) == ("sports", [("subcategory", "soccer")])


def test_two_parts_keep_their_lists_apart(tmp_path):
    for part in ("train", "dev"):
        lines(tmp_path / part / "behaviors.tsv.gz", BEHAVIORS[0])
        lines(tmp_path / part / "news.tsv.gz", *(NEWS.format(n) for n in (1, 2, 3, 4)))
    found = read(tmp_path)
    assert sorted(rows(found, "impressions", "impression_id")) == [("dev-1",), ("train-1",)]
    assert found.rows()["items"] == 4
    assert any(note.startswith("4 lines of news repeat") for note in found.notes)
    assert pc.count_distinct(found.tables["interactions"]["event_id"]).as_py() == found.rows()["interactions"] == 4


def test_lines_that_are_no_impression_keep_their_reason(tmp_path):
    odd = ("4\tU3\tyesterday\t\tN3-1", "5\tU3\t11/15/2019 1:00:00 PM\tN1\t", "6\tU3")
    found = read(lines(tmp_path / "behaviors.tsv", *BEHAVIORS, *odd))
    assert refused(found) == [
        ("impressions", "behaviors.tsv", 6, "is not impression, user, time, history, list"),
        ("impressions", "behaviors.tsv", 4, "its time is not like 11/15/2019 8:55:22 AM"),
        ("impressions", "behaviors.tsv", 5, "nothing was shown"),
    ]
    assert found.rows()["impressions"] == 3


def test_the_sample_in_full():
    found = read(real_data("mind-sample/behaviors.tsv.gz").parent)
    # 7,542 entries of the lists end in -1; the histories of 4,637 users have 138,932 entries.
    expected = {"items": 2_000, "users": 0, "impressions": 5_000, "interactions": 7_542 + 138_932, "rejected": 0}
    assert found.rows() == expected
    assert pc.sum(pc.list_value_length(found.tables["impressions"]["shown"])).as_py() == 189_359
    assert pc.count_distinct(found.tables["interactions"]["event_id"]).as_py() == 146_474
