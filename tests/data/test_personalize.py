"""AWS Personalize's three CSV files."""

from __future__ import annotations

import pytest

from liverank.errors import DataError
from tests.data.reading import at, lines, read, refused, rows, told

HEAD = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,IMPRESSION,RECOMMENDATION_ID,DEVICE"
EVENT = ("user_id", "item_id", "type", "value", "timestamp", "impression_id", "context")


def test_events_and_the_lists_they_came_from(tmp_path):
    source = lines(
        tmp_path / "interactions.csv", HEAD,
        "u1,b,1700000000,Click,,a|b|c,r1,phone", "u1,c,1700000005,AddToCart,2.5,a|b|c,r1,",
        "u2,a,1700000010,Purchase,10,,r9,", "u2,d,1700000020,Stream,,d|e,,",
    )  # fmt: skip
    assert told(source) == "personalize"
    found = read(source)
    events = rows(found, "interactions", *EVENT)
    moment = at(2023, 11, 14, 22, 13, 20)
    assert events[0] == ("u1", "b", "click", 1.0, moment, "r1", [("DEVICE", "phone")])
    assert [event[2:4] for event in events] == [("click", 1.0), ("cart", 2.5), ("purchase", 10.0), ("Stream", 1.0)]
    assert [event[5] for event in events[:3]] == ["r1", "r1", None]
    assert events[2][6] == [("recommendation_id", "r9")]
    lists = rows(found, "impressions", "impression_id", "user_id", "timestamp")
    assert lists[0] == ("r1", "u1", moment)
    assert len(lists) == 2
    assert lists[1][0] == events[3][5]
    shown = found.tables["impressions"]["shown"][0].as_py()
    assert [(entry["item_id"], entry["position"]) for entry in shown] == [("a", 1), ("b", 2), ("c", 3)]
    assert any("1 events have a RECOMMENDATION_ID and no IMPRESSION" in note for note in found.notes)


def test_items_and_users(tmp_path):
    lines(tmp_path / "interactions.csv", HEAD, "u1,b,1700000000,Click,,,,")
    lines(
        tmp_path / "items.csv", "ITEM_ID,NAME,CATEGORY_L1,CATEGORY_L2,PRICE,PRODUCT_DESCRIPTION,CREATION_TIMESTAMP",
        'b,Tea,Food,Drinks,4.5,"Green, fine",1600000000', "c,Cup,,,,,",
    )  # fmt: skip
    lines(tmp_path / "users.csv", "USER_ID,AGE,MEMBERSHIP_TYPE", "u1,33,gold", ",1,")
    found = read(tmp_path)
    assert rows(found, "items", "item_id", "title", "text", "category", "attributes", "available_from") == [
        ("b", "Tea", "Green, fine", "Food", [("category_l2", "Drinks"), ("price", "4.5")], at(2020, 9, 13, 12, 26, 40)),
        ("c", "Cup", "", "", [], None),
    ]
    assert rows(found, "users", "user_id", "attributes") == [("u1", [("age", "33"), ("membership_type", "gold")])]
    assert refused(found) == [("users", "users.csv", 3, "USER_ID is missing")]


def test_rows_that_are_no_event_keep_their_reason(tmp_path):
    texts = (
        ",b,1700000000,Click,,,,",
        "u,b,now,Click,,,,",
        "u,b,1700000000,Click,much,,,",
        "u,b",
        "u,b,1700000000,,,,,",
    )
    found = read(lines(tmp_path / "i.csv", HEAD, *texts))
    assert sorted((line, reason) for _, _, line, reason in refused(found)) == [
        (2, "USER_ID is missing"), (3, "TIMESTAMP is not seconds since 1970"), (4, "EVENT_VALUE is no number"),
        (5, "has 2 fields where the header has 8"),
    ]  # fmt: skip
    assert rows(found, "interactions", "type") == [("click",)]


def test_a_quote_that_is_never_closed_is_an_error_with_its_line(tmp_path):
    source = lines(tmp_path / "i.csv", HEAD, 'u,"b,1700000000,Click,,,,' + "x" * 200_000)
    with pytest.raises(DataError, match=r"i.csv, line 2: .* quote that is never closed"):
        read(source)
