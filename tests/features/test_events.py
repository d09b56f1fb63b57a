"""Each feature of an event, by hand and against brute force."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from liverank.config import DataConfig
from liverank.events import Interaction, Item
from liverank.features.log import event_columns
from liverank.features.popularity import trailing_columns
from tests.features.conftest import BEFORE_EPOCH, EPOCH, START, Built, at, build, event, random_events, write

# Enough later requests that the split has something to cut; they are of another user and other items.
TAIL = [event(f"z{n}", "z", f"i{20 + n}", 24 * 50 + n) for n in range(6)]


POPULARITY_HOURS = [0, 23.9, 24, 24 * 3 - 0.1, 24 * 3, 24 * 7, 24 * 8 + 1]
ITEMS = [
    Item(item_id="i02", title="two"),
    Item(item_id="i01", title="one", attributes={"k": "v"}),
    *(Item(item_id=f"i{n:02d}", title=str(n)) for n in range(3, 30)),
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Hand-made cases side by side: each has its own users and, where popularity matters, its own items."""
    two_baskets = [
        event("a", "u", "i01", 0, "view"),
        event("b", "u", "i02", 0.25),
        event("c", "u", "i01", 0.25, "purchase", value=2.0),
        event("d", "u", "i01", 30),
        event("e", "u", "i03", 30.5, "dislike", session_id="s"),
        event("f", "v", "i01", 30.5),
    ]
    popularity = [event(f"p{n}", f"p{n}", "i05", hour) for n, hour in enumerate(POPULARITY_HOURS)]
    sessions = [
        event("s-a", "s", "i06", 0, session_id="s1"),
        event("s-b", "s", "i06", 0.5, session_id="s1"),
        event("s-c", "s", "i06", 1.01, session_id="s1"),
        event("s-d", "s", "i06", 1.1, session_id="s2"),
        event("s-e", "s", "i06", 1.2),
        event("s-f", "s", "i06", 1.2, session_id="s3"),
    ]
    twice = [event("t-a", "t", "i07", 2), event("t-a", "t", "i08", 1), event("t-b", "t", "i09", 3)]
    old = Interaction(event_id="old", user_id="w", item_id="i10", type="click", timestamp=BEFORE_EPOCH)
    strange = [event("x-a", "x", "i00", 1), event("x-b", "x", "i11", 2, "hover")]
    folder = tmp_path_factory.mktemp("table")
    events = [*two_baskets, *popularity, *sessions, *twice, old, *strange, *TAIL]
    dataset = write(folder / "data", events, items=ITEMS)
    return build(dataset, folder / "out", popularity_days=(1, 2, 7))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("seen", {"a": 0, "b": 1, "c": 1, "d": 3, "e": 4, "f": 0}),
        ("seen_click", {"a": 0, "b": 0, "c": 0, "d": 1, "e": 2, "f": 0}),
        ("seen_purchase", {"a": 0, "b": 0, "c": 0, "d": 1, "e": 1, "f": 0}),
        ("session", {"a": 0, "b": 0, "c": 0, "d": 1, "e": 1, "f": 0}),
        ("session_start", {"a": True, "b": False, "c": False, "d": True, "e": False, "f": True}),
        ("gap_seconds", {"a": None, "b": 900.0, "c": 900.0, "d": 29.75 * 3600, "e": 1800.0, "f": None}),
        ("repeats", {"a": 0, "b": 0, "c": 1, "d": 2, "e": 0, "f": 0}),
        ("since_item_seconds", {"a": None, "b": None, "c": 900.0, "d": 29.75 * 3600, "e": None, "f": None}),
        # Day 0 has two events of i01 and one of i02; the others are on day 1.
        ("popularity_1d", {"a": 0, "b": 0, "c": 0, "d": 2, "e": 0, "f": 2}),
        ("popularity_2d", {"a": 0, "b": 0, "c": 0, "d": 2, "e": 0, "f": 2}),
        ("hour", {"a": 0, "b": 0, "c": 0, "d": 6, "e": 6, "f": 6}),
        ("weekday", {"a": 0, "b": 0, "c": 0, "d": 1, "e": 1, "f": 1}),
        ("weight", {"a": 0.2, "b": 1.0, "c": 3.0, "d": 1.0, "e": -1.0, "f": 1.0}),
        ("value", {"a": 1.0, "b": 1.0, "c": 2.0, "d": 1.0, "e": 1.0, "f": 1.0}),
    ],
)
def test_every_feature_by_hand(table: Built, column: str, expected: dict[str, object]) -> None:
    rows = table.events()
    assert {key: rows[key][column] for key in expected} == expected


def test_columns_types_and_order(table: Built) -> None:
    events = pq.read_table(table.folder / "events").schema
    trailing = pq.read_table(table.folder / "trailing").schema
    assert events.names == event_columns(DataConfig())
    assert trailing.names == ["item_id", "day", *trailing_columns((1, 2, 7))]
    kinds = {
        "weight": "double", "timestamp": "timestamp[us, tz=UTC]", "session": "int64", "session_start": "bool",
        "gap_seconds": "double", "hour": "int8", "weekday": "int8", "repeats": "int64", "value": "double",
        "known_at": "timestamp[us, tz=UTC]", "seen": "int64", "seen_view": "int64", "since_item_seconds": "double",
    }  # fmt: skip
    assert {name: str(events.field(name).type) for name in kinds} == kinds
    kinds = {"day": "int32", "popularity_1d": "int64", "ctr_7d": "double"}
    assert {name: str(trailing.field(name).type) for name in kinds} == kinds
    keys = [(row["user_id"], row["timestamp"], row["event_id"]) for row in table.rows("events")]
    assert keys == sorted(keys)


def test_what_past_days_say_is_kept_once_an_item_and_day(table: Built) -> None:
    found = [(row["item_id"], row["day"]) for row in table.rows("trailing")]
    asked = {(row["item_id"], (row["timestamp"] - EPOCH) // timedelta(days=1)) for row in table.rows("events")}
    assert set(found) == asked
    assert len(found) == len(asked)


def test_popularity_counts_whole_days_before_the_day(table: Built) -> None:
    rows = table.events()
    assert [rows[f"p{n}"]["popularity_1d"] for n in range(7)] == [0, 0, 2, 1, 1, 0, 1]
    assert [rows[f"p{n}"]["popularity_7d"] for n in range(7)] == [0, 0, 2, 3, 4, 5, 4]


def test_a_session_ends_after_more_than_the_gap_or_where_the_source_says_so(table: Built) -> None:
    rows = [table.events()[f"s-{key}"] for key in "abcdef"]
    assert [row["session"] for row in rows] == [0, 0, 1, 2, 2, 2]
    assert [row["session_start"] for row in rows] == [True, False, True, True, False, False]


def test_days_before_1970_have_hours_and_weekdays(table: Built) -> None:
    row = table.events()["old"]
    assert (row["hour"], row["weekday"]) == (23, BEFORE_EPOCH.weekday())


def test_duplicate_event_ids_count_once_and_the_earliest_stays(table: Built) -> None:
    rows = table.events()
    assert rows["t-a"]["item_id"] == "i08"
    assert rows["t-b"]["seen"] == 1


def test_items_have_train_events_and_unknown_ones_get_a_row(table: Built) -> None:
    rows = table.rows("items")
    assert [row["item_id"] for row in rows] == [f"i{n:02d}" for n in range(30)]
    assert [row["train_events"] for row in rows][:6] == [1, 4, 1, 1, 0, 7]
    assert rows[0]["title"] == ""
    assert dict(rows[1]["attributes"]) == {"k": "v"}
    assert sum(row["train_events"] for row in rows) == table.summary.events["train"]


def test_a_type_without_a_weight_weighs_nothing(table: Built) -> None:
    assert table.events()["x-b"]["weight"] == 0.0


def test_counts_sessions_and_repeats_agree_with_brute_force(tmp_path: Path) -> None:
    events = random_events(1000, seed=5)
    rows = build(write(tmp_path / "data", events), tmp_path / "out", part_events=200).events()
    ordered = sorted(events, key=lambda one: (one.timestamp, one.event_id))
    for one in ordered:
        earlier = [other for other in ordered if other.user_id == one.user_id and other.timestamp < one.timestamp]
        row = rows[one.event_id]
        assert row["seen"] == len(earlier)
        assert row["seen_purchase"] == sum(other.type == "purchase" for other in earlier)
        assert row["repeats"] == sum(other.item_id == one.item_id for other in earlier)
        gap = (one.timestamp - earlier[-1].timestamp).total_seconds() if earlier else None
        assert row["gap_seconds"] == gap
        instants = sorted({other.timestamp for other in [*earlier, one]})
        breaks = sum(b - a > timedelta(minutes=30) for a, b in pairwise(instants))
        assert row["session"] == breaks
        day = (one.timestamp - START) // timedelta(days=1)
        days = [(other.timestamp - START) // timedelta(days=1) for other in ordered if other.item_id == one.item_id]
        assert row["popularity_7d"] == sum(day - 7 <= other < day for other in days)


def test_the_future_changes_nothing_before_it(tmp_path: Path) -> None:
    events = random_events(400, seed=9)
    cut = sorted(one.timestamp for one in events)[250]
    past = [one for one in events if one.timestamp < cut]
    future = [
        event(f"new{n}", f"u{n % 12}", f"i{n % 30:02d}", (cut - at(0)) / timedelta(hours=1) + n) for n in range(90)
    ]
    before = build(write(tmp_path / "a", events), tmp_path / "fa").events()
    after = build(write(tmp_path / "b", [*past, *future]), tmp_path / "fb").events()
    kept = [one.event_id for one in past]
    assert [before[key] for key in kept] == [after[key] for key in kept]
    assert len(kept) > 200
