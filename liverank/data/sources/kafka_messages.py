"""Kafka messages as rows of the contract: JSON objects with a `record` tag, by `data.mapping`, or by their fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
import pyarrow as pa

from liverank import columns as c
from liverank.config.data import SourceConfig
from liverank.data.conform import REQUIRED
from liverank.data.json_rows import object_table, told
from liverank.data.mapping import fits, mapped
from liverank.data.raw import broken
from liverank.data.sources.parts import Batch, Note, Parts, Refused

RECORD: Final = "record"
TAGS: Final = {"item": "items", "user": "users", "impression": "impressions", "interaction": "interactions"}
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


@dataclass
class _Rows:
    objects: list[dict[str, Any]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)


def message_parts(messages: pa.Table, place: str, config: SourceConfig) -> Parts:
    """Messages of one partition (`liverank.data.sources.kafka_topic.SCHEMA`) as batches of each table.

    Args:
        messages: some of the partition's messages.
        place: topic/partition, for people; the line of a row is its offset.
        config: for the mapping.
    """
    tables: dict[str, _Rows] = {}
    bad: list[tuple[int, str, str]] = []
    known: dict[tuple[str | None, tuple[str, ...]], str] = {}
    for offset, appended, value in zip(*(column.to_pylist() for column in messages.columns), strict=True):
        try:
            row = _object(value)
            tag = row.get(RECORD) if isinstance(row.get(RECORD), str) else None
            form = (tag, tuple(row))
            table = known.get(form) or known.setdefault(form, _table(tag, form[1], config))
        except ValueError as problem:
            text = (value or b"").decode("utf-8", "replace")
            bad.append((offset, text, f"the message at offset {offset} of {place} {problem}"))
            continue
        rows = tables.setdefault(table, _Rows())
        rows.objects.append(_received(row, appended) if table == "interactions" else row)
        rows.offsets.append(offset)
    if bad:
        yield Refused(broken(place, bad))
    for table, rows in tables.items():
        raw = object_table(rows.objects)
        fields = config.mapping.get(table, {})
        present = {name: path for name, path in fields.items() if fits({name: path}, raw.column_names)}
        for name in sorted(set(fields) - set(present)):
            yield Note(f"{place}: no message has {fields[name]}, which data.mapping.{table}.{name} names.")
        raw = mapped(raw, present, place)
        raw = raw.drop_columns([RECORD] if RECORD in raw.column_names else [])
        yield Batch(table, raw, place, lines=pa.array(rows.offsets, pa.int64()))


def _object(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise ValueError("has no value")
    try:
        return _OBJECT.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        reason = told(problem, value) if isinstance(problem, msgspec.DecodeError) else "it is no UTF-8"
        raise ValueError(f"is not a JSON object: {reason}") from problem


def _table(tag: str | None, names: Sequence[str], config: SourceConfig) -> str:
    if tag in TAGS:
        return TAGS[tag]
    for table, fields in config.mapping.items():
        if fits({name: path for name, path in fields.items() if name in REQUIRED[table]}, names):
            return table
    if tag is not None:
        raise ValueError(f"has the {RECORD} {tag!r}, which is none of {', '.join(TAGS)}")
    found = set(names)
    if {c.USER_ID, c.ITEM_ID} <= found:
        return "interactions"
    if c.SHOWN in found:
        return "impressions"
    if c.ITEM_ID in found:
        return "items"
    if c.USER_ID in found and c.TIMESTAMP not in found:
        return "users"
    raise ValueError("is no record of the contract: it has neither the contract's fields nor those of data.mapping")


def _received(row: dict[str, Any], appended: datetime | None) -> dict[str, Any]:
    """With the broker's time of arrival, where it keeps one and the record says none."""
    if appended is not None and row.get(c.RECEIVED_AT) is None:
        return {**row, c.RECEIVED_AT: appended.isoformat()}
    return row
