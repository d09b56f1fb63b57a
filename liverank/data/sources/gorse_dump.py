"""Reads Gorse's binary dump: streams of length-prefixed Protocol Buffers messages, little-endian."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, BinaryIO, Final

from liverank.data.locations import Location
from liverank.data.sources.rows import EPOCH

STREAMS: Final = {-1: "users", -2: "items", -3: "interactions"}
LONGEST_MESSAGE: Final = 64 << 20
FIELDS: Final[Mapping[str, Mapping[int, tuple[str, str]]]] = {
    "users": {1: ("UserId", "text"), 2: ("Labels", "json"), 3: ("Comment", "text")},
    "items": {
        2: ("ItemId", "text"), 3: ("IsHidden", "flag"), 4: ("Categories", "texts"), 5: ("Timestamp", "time"),
        6: ("Labels", "json"), 7: ("Comment", "text"),
    },
    "interactions": {
        2: ("FeedbackType", "text"), 3: ("UserId", "text"), 4: ("ItemId", "text"), 5: ("Value", "double"),
        6: ("Timestamp", "time"), 7: ("Comment", "text"), 9: ("Labels", "json"),
    },
}  # fmt: skip
"""Table -> number of a message's field -> its name in the JSON export and its kind."""


class NotADump(ValueError):
    """The bytes are no dump, or one that is cut off."""


def is_dump(file: Location) -> bool:
    """Whether the file begins as a dump does: with the mark of a stream and a small length."""
    try:
        with file.open() as content:
            head = content.read(16)
    except (OSError, EOFError, ValueError):
        return False
    if len(head) < 16:
        return False
    mark, size = struct.unpack("<qq", head)
    return mark in STREAMS and -3 <= size < LONGEST_MESSAGE and head[:4] != b"PAR1"


def read_dump(file: Location) -> Iterator[tuple[str, dict[str, Any]]]:
    """The dump's rows as (table, fields named as in the JSON export).

    Raises:
        NotADump: it is damaged or cut off.
    """
    with file.open() as content:
        mark = _number(content)
        while mark != 0:
            if mark not in STREAMS:
                raise NotADump(f"unknown stream {mark}")
            table = STREAMS[mark]
            while (mark := _number(content)) > 0:
                if mark > LONGEST_MESSAGE:
                    raise NotADump(f"a message of {mark} bytes")
                yield table, _row(_exactly(content, mark), table)


def _number(content: BinaryIO) -> int:
    return int(struct.unpack("<q", _exactly(content, 8))[0])


def _exactly(content: BinaryIO, size: int) -> bytes:
    data = content.read(size)
    if len(data) != size:
        raise NotADump("it ends in the middle")
    return data


def _row(message: bytes, table: str) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for number, value in _fields(message):
        name, kind = FIELDS[table].get(number, ("", ""))
        if kind == "texts":
            row.setdefault(name, []).append(_text(value))
        elif name:
            row[name] = _value(value, kind)
    return row


def _value(value: int | bytes, kind: str) -> Any:
    if kind == "flag":
        return bool(value)
    if not isinstance(value, bytes):
        raise NotADump(f"a {kind} is a number")
    if kind == "text":
        return _text(value)
    if kind == "double":
        return struct.unpack("<d", value)[0] if len(value) == 8 else None
    return json.loads(value or b"null") if kind == "json" else _time(value)


def _text(value: int | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _time(message: bytes) -> str | None:
    """google.protobuf.Timestamp: seconds and nanoseconds since 1970."""
    parts = dict(_fields(message))
    seconds, nanos = int(parts.get(1, 0)), int(parts.get(2, 0))
    seconds -= (1 << 64) if seconds >= 1 << 63 else 0
    try:
        at: datetime = EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        return None
    return at.isoformat()


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """A message's fields by the wire format: varints as numbers, the others as bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise NotADump(f"wire type {kind}")
        if at + size > len(message):
            raise NotADump("a field is longer than its message")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
    raise NotADump("a number has no end")
