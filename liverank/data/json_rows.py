"""Reads JSON lines block by block; a line that is no object is kept with its line, column and reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from liverank.data.encodings import blocks
from liverank.data.locations import Location
from liverank.data.raw import RawBatch, broken
from liverank.errors import DataError

Object = dict[str, Any]
_BYTE: Final = re.compile(r" \(byte (\d+)\)")
_ARRAY: Final = msgspec.json.Decoder(list[Object])
_NO_IDS: Final[dict[type, str]] = {dict: "a JSON object", list: "a JSON list", bool: "true or false"}
_ONE: Final = msgspec.json.Decoder(Object)


def read_json_lines(location: Location, encoding: str = "", ids: Sequence[str] = ()) -> Iterator[RawBatch]:
    """The objects, their fields as columns: text and numbers as they are, anything else as JSON text.

    Args:
        location: the file.
        encoding: of the file; empty: UTF-8.
        ids: fields that hold ids; a line where one is an object, a list or a boolean is set aside.

    Raises:
        DataError: the file cannot be read, or is one JSON array.
    """
    line = 1
    for block in blocks(location, encoding):
        if line == 1:
            _refuse_array(block, location)
        lines = block.split(b"\n")[:-1]
        filled = [at for at, text in enumerate(lines) if text and not text.isspace()]
        texts = [lines[at] for at in filled] if len(filled) < len(lines) else lines
        yield _batch(texts, np.array(filled, np.int64) + line, location, ids)
        line += len(lines)


def _refuse_array(block: bytes, location: Location) -> None:
    if block.lstrip()[:1] == b"[":
        raise DataError(
            f"{location}, line 1 begins a JSON array, and JSON lines have one object a line.",
            f"Convert it: jq -c '.[]' {location.name} > lines.jsonl.",
        )


def _batch(texts: list[bytes], numbers: np.ndarray, location: Location, ids: Sequence[str]) -> RawBatch:
    try:
        # One call for all lines is faster; a line end within an object would show in the count.
        objects = _ARRAY.decode(b"[" + b",".join(texts) + b"]")
    except msgspec.DecodeError:
        objects = []
    if len(objects) == len(texts) and not any(_no_id(row, ids) for row in objects):
        return RawBatch(object_table(objects), pa.array(numbers))
    found: list[tuple[int, str, str]] = []
    objects, good = [], []
    for at, text in enumerate(texts):
        try:
            row = _ONE.decode(text)
            reason = _no_id(row, ids)
        except msgspec.DecodeError as problem:
            reason = f"is not a JSON object: {told(problem, text)}"
        if reason:
            found.append((int(numbers[at]), text.decode("utf-8").strip(), reason))
        else:
            objects.append(row)
            good.append(at)
    return RawBatch(object_table(objects), pa.array(numbers[good]), broken(str(location), found))


def _no_id(row: Object, ids: Sequence[str]) -> str:
    """Why the row's ids are none; empty where they may be."""
    for name in ids:
        kind = _NO_IDS.get(type(row.get(name)))
        if kind:
            return f"{name} is {kind} where text or a number is expected"
    return ""


def told(problem: msgspec.DecodeError, text: bytes) -> str:
    """What is wrong with a line of JSON, with the column."""
    if "truncated" in str(problem):
        return f"it is cut off after column {len(text.decode('utf-8').rstrip())}"
    where = _BYTE.search(str(problem))
    column = len(text[: int(where[1])].decode("utf-8", "replace")) + 1 if where else 0
    return _BYTE.sub(f" in column {column}", str(problem))


def object_table(objects: list[Object]) -> pa.Table:
    """JSON objects as columns, by name: text and numbers as they are, else JSON text; null where one lacks a field."""
    names = sorted({name for row in objects for name in row})
    return pa.table([_column([row.get(name) for row in objects]) for name in names], names=names)


def _column(cells: Sequence[Any]) -> pa.Array:
    kinds = set(map(type, cells)) - {type(None)}
    if kinds <= {str} or kinds == {int} or kinds == {float}:
        try:
            return pa.array(cells, pa.string() if kinds <= {str} else None)
        except (OverflowError, pa.ArrowInvalid):
            pass  # a whole number of more than 64 bits is kept as its text
    return pa.array([_text(cell) for cell in cells], pa.string())


def _text(cell: Any) -> str | None:
    """Text as it is, null as None, any other value as its JSON text."""
    return cell if cell is None or isinstance(cell, str) else msgspec.json.encode(cell).decode("utf-8")
