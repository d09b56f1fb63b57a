"""Gorse's exports of today (JSON lines), of before (CSV), and its binary dump."""

from __future__ import annotations

import json
import struct

import pytest

from liverank.errors import DataError
from tests.data.reading import at, json_lines, lines, read, refused, rows, told

USERS = [
    {"UserId": "u1", "Labels": {"gender": "f", "tags": ["a", "b"]}, "Comment": "vip"},
    {"UserId": "u2", "Labels": None},
]
ITEMS = [
    {"ItemId": "i1", "IsHidden": False, "Categories": ["go", "db"], "Timestamp": "2024-01-02T03:04:05Z",
     "Labels": {"topics": ["x", "y"], "description": "Long words"}, "Comment": "A store"},
    {"ItemId": "i2", "IsHidden": True, "Categories": [], "Timestamp": "0001-01-01T00:00:00Z",
     "Labels": ["x"], "Comment": ""},
]  # fmt: skip
FEEDBACK = [
    {"FeedbackType": "star", "UserId": "u1", "ItemId": "i1", "Value": 2.5, "Timestamp": "2024-05-06T07:08:09Z",
     "Updated": "2024-05-06T07:08:09Z", "Labels": None, "Comment": ""},
    {"FeedbackType": "read", "UserId": "u2", "ItemId": "i1", "Value": 0, "Timestamp": "2024-05-06T09:08:09+02:00"},
]  # fmt: skip
EVENT = ("user_id", "item_id", "type", "value", "timestamp")
EVENTS = [
    ("u1", "i1", "star", 2.5, at(2024, 5, 6, 7, 8, 9)),
    ("u2", "i1", "read", 1.0, at(2024, 5, 6, 7, 8, 9)),
]


@pytest.fixture
def export(tmp_path):
    json_lines(tmp_path / "users.jsonl", *USERS)
    json_lines(tmp_path / "items.jsonl", *ITEMS)
    json_lines(tmp_path / "feedback.jsonl", *FEEDBACK)
    return tmp_path


def test_the_export_as_json_lines(export):
    assert told(export) == "gorse"
    found = read(export)
    assert rows(found, "interactions", *EVENT) == EVENTS
    assert rows(found, "items", "item_id", "title", "text", "category", "available_from") == [
        ("i1", "A store", "Long words", "go", at(2024, 1, 2, 3, 4, 5)),
        ("i2", "", "", "", None),
    ]
    assert [dict(pairs) for (pairs,) in rows(found, "items", "attributes")] == [
        {"topics": "x|y", "categories": "go|db"},
        {"labels": "x", "hidden": "true"},
    ]
    assert rows(found, "users", "user_id", "attributes") == [
        ("u1", [("gender", "f"), ("tags", "a|b"), ("comment", "vip")]),
        ("u2", []),
    ]
    assert not found.rejected.num_rows


def test_the_export_as_csv(tmp_path):
    lines(tmp_path / "users.csv", "user_id,labels", 'u1,"[""a"",""b""]"')
    first = ('i1,false,go|db,2024-01-02 03:04:05.5 +0000 UTC,"[""x""]","A ""store"",', 'of two lines"')
    lines(tmp_path / "items.csv", "item_id,is_hidden,categories,time_stamp,labels,description", *first, "i2,false,a")
    lines(tmp_path / "feedback.csv", "feedback_type,user_id,item_id,time_stamp",
          "star,u1,i1,2024-05-06 07:08:09 +0000 UTC", "star,,i1,2024-05-06 07:08:09 +0000 UTC")  # fmt: skip
    assert told(tmp_path) == "gorse"
    found = read(tmp_path)
    assert rows(found, "interactions", *EVENT) == [("u1", "i1", "star", 1.0, at(2024, 5, 6, 7, 8, 9))]
    assert rows(found, "items", "item_id", "title", "category", "available_from") == [
        ("i1", 'A "store",\nof two lines', "go", at(2024, 1, 2, 3, 4, 5, 500000))
    ]
    assert rows(found, "users", "attributes") == [([("labels", "a|b")],)]
    assert sorted(refused(found)) == [
        ("interactions", "feedback.csv", 3, "UserId is missing"),
        ("items", "items.csv", 4, "has 3 fields where the header has 6"),
    ]


def test_the_binary_dump(tmp_path):
    pytest.importorskip("google.protobuf")
    (tmp_path / "gorse.bin").write_bytes(dump())
    assert told(tmp_path) == "gorse"
    found = read(tmp_path)
    assert rows(found, "interactions", *EVENT) == EVENTS
    assert rows(found, "items", "item_id", "title", "category", "available_from") == [
        ("i1", "A store", "go", at(2024, 1, 2, 3, 4, 5)),
        ("i2", "", "", None),
    ]
    assert rows(found, "users", "user_id")[1] == ("u2",)


def test_a_dump_that_is_cut_off_is_an_error(tmp_path):
    pytest.importorskip("google.protobuf")
    (tmp_path / "gorse.bin").write_bytes(dump()[:-20])
    with pytest.raises(DataError, match="damaged dump of Gorse"):
        read(tmp_path)


def test_what_is_no_feedback_keeps_its_reason(tmp_path):
    broken = [{**FEEDBACK[0], "Timestamp": "2024"}, {**FEEDBACK[0], "ItemId": ""}, '{"FeedbackType": ']
    found = read(json_lines(tmp_path / "feedback.jsonl", FEEDBACK[0], *broken))
    assert rows(found, "interactions", *EVENT) == EVENTS[:1]
    assert sorted((line, reason.split(":")[0]) for _, _, line, reason in refused(found)) == [
        (2, "Timestamp is no time with a zone"), (3, "ItemId is missing"), (4, "is not a JSON object of this format"),
    ]  # fmt: skip


def dump():
    """The rows above as Gorse dumps them: messages made by the real Protocol Buffers library."""
    kinds = messages()
    parts = []
    for mark, name, rows_of in ((-1, "User", USERS), (-2, "Item", ITEMS), (-3, "Feedback", FEEDBACK)):
        parts.append(struct.pack("<q", mark))
        for row in rows_of:
            data = filled(kinds[name](), row).SerializeToString()
            parts += [struct.pack("<q", len(data)), data]
    return b"".join([*parts, struct.pack("<q", 0)])


def filled(message, row):
    from datetime import datetime

    for name, value in row.items():
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
        if name in ("Timestamp", "Updated"):
            moment = datetime.fromisoformat(value)
            message.timestamp.seconds = int((moment - at(1970, 1, 1)).total_seconds())
        elif name == "Labels":
            message.labels = json.dumps(value).encode()
        elif name == "Categories":
            message.categories.extend(value)
        else:
            setattr(message, snake, value)
    return message


def messages():
    """The dump's messages, declared as Gorse's protocol numbers them."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    text, flag, double, data, message = 9, 8, 1, 12, 11
    layout = {
        "User": [("user_id", 1, text), ("labels", 2, data), ("comment", 3, text)],
        "Item": [("item_id", 2, text), ("is_hidden", 3, flag), ("categories", 4, text), ("timestamp", 5, message),
                 ("labels", 6, data), ("comment", 7, text)],
        "Feedback": [("feedback_type", 2, text), ("user_id", 3, text), ("item_id", 4, text), ("value", 5, double),
                     ("timestamp", 6, message), ("comment", 7, text), ("labels", 9, data)],
    }  # fmt: skip
    file = descriptor_pb2.FileDescriptorProto(
        name="dump.proto", package="dump", syntax="proto3", dependency=["google/protobuf/timestamp.proto"]
    )
    for name, fields in layout.items():
        kind = file.message_type.add(name=name)
        for field, number, sort in fields:
            entry = kind.field.add(name=field, number=number, type=sort, label=3 if field == "categories" else 1)
            if sort == message:
                entry.type_name = ".google.protobuf.Timestamp"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"dump.{name}") for name in layout}
    return {name: message_factory.GetMessageClass(kind) for name, kind in found.items()}
