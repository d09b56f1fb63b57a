"""Metarank's events and RankLens: rankings with relevancies, interactions of them, fields whose latest value wins."""

from __future__ import annotations

import pytest

from liverank.errors import DataError
from tests.data.reading import at, json_lines, read, refused, rows, told

START = 1599391467000  # 2020-09-06T11:24:27Z
ITEM = {
    "event": "item", "id": "e1", "timestamp": str(START), "item": "item1",
    "fields": [{"name": "title", "value": "Nice cat"}, {"name": "color", "value": ["white", "black"]},
               {"name": "is_cute", "value": True}, {"name": "price", "value": 9.5}],
}  # fmt: skip
USER = {"event": "user", "id": "e2", "timestamp": START, "user": "user1", "fields": [{"name": "age", "value": 33}]}
RANKING = {
    "event": "ranking", "id": "r1", "timestamp": "2020-09-06T11:24:28Z", "user": "user1", "session": "s1",
    "fields": [{"name": "query", "value": "cat"}],
    "items": [{"id": "item3", "relevancy": 2.0}, {"id": "item1", "relevancy": 1}, {"id": "item2"}],
}  # fmt: skip
CLICK = {
    "event": "interaction", "id": "i1", "ranking": "r1", "timestamp": str(START + 2500), "user": "user1",
    "session": "s1", "type": "purchase", "item": "item1", "fields": [{"name": "shipping", "value": "DHL"}],
}  # fmt: skip


def test_each_kind_of_event(tmp_path):
    source = json_lines(tmp_path / "events.jsonl.gz", ITEM, USER, RANKING, CLICK)
    assert told(source) == "metarank"
    found = read(source)
    assert found.rows() == {"items": 1, "users": 1, "impressions": 1, "interactions": 1, "rejected": 0}
    shown = found.tables["impressions"]["shown"][0].as_py()
    assert [(entry["item_id"], entry["position"], entry["score"]) for entry in shown] == [
        ("item3", 1, 2.0), ("item1", 2, 1.0), ("item2", 3, None),
    ]  # fmt: skip
    columns = ("impression_id", "user_id", "session_id", "timestamp", "context")
    moment = at(2020, 9, 6, 11, 24, 28)
    assert rows(found, "impressions", *columns) == [("r1", "user1", "s1", moment, [("query", "cat")])]
    columns = ("event_id", "user_id", "item_id", "type", "timestamp", "impression_id", "session_id", "context")
    assert rows(found, "interactions", *columns) == [
        ("i1", "user1", "item1", "purchase", at(2020, 9, 6, 11, 24, 29, 500000), "r1", "s1", [("shipping", "DHL")])
    ]
    assert rows(found, "items", "title", "attributes") == [
        ("Nice cat", [("color", "white|black"), ("is_cute", "true"), ("price", "9.5")])
    ]
    assert rows(found, "users", "user_id", "attributes") == [("user1", [("age", "33")])]


def test_of_each_field_the_latest_value_wins(tmp_path):
    def told_at(milliseconds, **fields):
        listed = [{"name": name, "value": value} for name, value in fields.items()]
        return {**ITEM, "timestamp": milliseconds, "fields": listed}

    events = [told_at(2000, title="new"), told_at(1000, title="old", color="red"), told_at(2000, title="newer")]
    found = read(json_lines(tmp_path / "e.jsonl", RANKING, *events))
    assert rows(found, "items", "item_id", "title", "attributes") == [("item1", "newer", [("color", "red")])]


def test_a_visitor_without_a_name_is_known_by_the_session(tmp_path):
    nameless = {name: value for name, value in CLICK.items() if name != "user"}
    nobody = {name: value for name, value in nameless.items() if name != "session"}
    found = read(json_lines(tmp_path / "e.jsonl", nameless, nobody))
    assert rows(found, "interactions", "user_id") == [("session:s1",)]
    assert refused(found) == [("interactions", "e.jsonl", 2, "names neither a user nor a session")]
    assert any(note.startswith("1 events name a session") for note in found.notes)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({**RANKING, "items": []}, "ranking has no items"),
        ({**RANKING, "items": [{"relevancy": 1}]}, "an item of the ranking has no id"),
        (
            {**CLICK, "timestamp": "yesterday"},
            "timestamp is neither milliseconds since 1970 nor an ISO time with a zone",
        ),
        ({**CLICK, "timestamp": "2020-09-06T11:24:28"}, "timestamp is neither milliseconds"),
        ({**CLICK, "item": ""}, "item is missing"),
        ({**CLICK, "type": None}, "type is missing"),
        ({**CLICK, "fields": "x"}, "fields is no list of names and values"),
        ({**CLICK, "event": "feedback"}, "event is 'feedback', not one of item, user, ranking, interaction"),
        ('{"event": "interaction"', "is not a JSON object of this format"),
    ],
)
def test_what_is_no_event_keeps_its_reason_and_its_line(tmp_path, event, reason):
    found = read(json_lines(tmp_path / "e.jsonl", CLICK, event))
    ((_, file, line, told_reason),) = refused(found)
    assert (file, line, found.rows()["interactions"]) == ("e.jsonl", 2, 1)
    assert told_reason.startswith(reason)


def test_ranklens_as_it_is_published(tmp_path):
    movie = {
        "id": 5, "title": "Father of the Bride", "overview": "George has recovered.", "tmdbId": 11862, "runtime": 106,
        "genres": [{"id": 35, "name": "Comedy"}, {"id": 10751, "name": "Family"}], "tags": ["wedding", "pregnancy"],
        "director": {"name": "Charles Shyer"}, "topActors": [{"name": "Kieran Culkin"}, {"name": "Diane Keaton"}],
    }  # fmt: skip
    ranking = {"id": 6259, "liked": [5, 80], "shown": [80, 7, 5], "ts": 1636993834, "user": "90df"}
    json_lines(tmp_path / "metadata.jsonl.gz", movie)
    json_lines(tmp_path / "ranking.jsonl.gz", ranking, {**ranking, "id": 1, "shown": []})
    assert told(tmp_path) == "metarank"
    found = read(tmp_path)
    assert rows(found, "items", "item_id", "title", "text", "category") == [
        ("5", "Father of the Bride", "George has recovered.", "Comedy")
    ]
    attributes = dict(found.tables["items"]["attributes"][0].as_py())
    assert attributes["genres"] == "Comedy|Family"
    assert attributes["actors"] == "Kieran Culkin|Diane Keaton"
    assert rows(found, "interactions", "item_id", "type", "impression_id", "timestamp") == [
        ("5", "click", "6259", at(2021, 11, 15, 16, 30, 34)),
        ("80", "click", "6259", at(2021, 11, 15, 16, 30, 34)),
    ]
    assert refused(found) == [("impressions", "ranking.jsonl.gz", 2, "lacks its id, user, time or list")]


def test_a_folder_without_events_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match="holds no events of Metarank"):
        read(json_lines(tmp_path / "e.jsonl", {"a": 1}), format="metarank")
