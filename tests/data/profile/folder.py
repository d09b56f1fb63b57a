"""Writes small dataset folders, and reads their profile."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from liverank.data.profile.run import profile
from liverank.events import RECORD_TYPES, Impression, Interaction, Item, ShownItem, to_table

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


def at(**past):
    return MONDAY + timedelta(**past)


def event(user, item, moment=MONDAY, kind="click", number=[0], **more):  # noqa: B006
    number[0] += 1
    return Interaction(event_id=f"e{number[0]}", user_id=user, item_id=item, type=kind, timestamp=moment, **more)


def shown(name, items, moment=MONDAY, propensities=None, **more):
    chances = propensities or [None] * len(items)
    lines = [
        ShownItem(item_id=item, position=place, propensity=chance)
        for place, (item, chance) in enumerate(zip(items, chances, strict=True), 1)
    ]
    return Impression(impression_id=name, user_id="someone", timestamp=moment, shown=lines, **more)


def item(name, title="", **more):
    return Item(item_id=name, title=title, **more)


def folder(path, *records, source="clicks.csv", rejected=None, origin="shop"):
    path.mkdir(parents=True, exist_ok=True)
    for name, kind in RECORD_TYPES.items():
        table = to_table([one for one in records if isinstance(one, kind)], name)
        named = table.append_column("origin", pa.array([origin] * table.num_rows, pa.string()))
        pq.write_table(named, path / f"{name}.parquet")
    if rejected is not None:
        pq.write_table(rejected, path / "rejected.parquet")
    facts = {"source": source, "format": "contract", "synthetic": False, "hash": "0", "notes": []}
    (path / "source.json").write_text(json.dumps(facts))
    return path


def figures(path, *records, **more):
    return profile(folder(path, *records, **more))
