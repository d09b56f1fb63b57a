"""The live store's log as tables of the contract, and how it joins a source."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.dataset import Dataset, empty_tables
from liverank.events import RECORD_TYPES, Record, to_table

KEYS = {"items": c.ITEM_ID, "users": c.USER_ID, "impressions": c.IMPRESSION_ID, "interactions": c.EVENT_ID}
"""Table name -> the id that makes its records unique."""


def read_live(path: Path) -> Dataset:
    """Every record of a live store's log; a later item or user of the same id takes the place of an earlier one."""
    from liverank.store import open_store

    store = open_store(path)
    try:
        return from_records([record for _, record in store.export()])
    finally:
        store.close()


def from_records(records: list[Record]) -> Dataset:
    """Records as tables, one row an id: the latest."""
    tables = empty_tables()
    for name, kind in RECORD_TYPES.items():
        latest = {getattr(record, KEYS[name]): record for record in records if isinstance(record, kind)}
        tables[name] = to_table(latest.values(), name)
    return Dataset(tables, source="live store")


def join_live(source: Dataset, live: Dataset) -> dict[str, int]:
    """Adds the live records to `source` in place; returns how many rows each table gained.

    Events and impressions that the source already has are not added again; a live item or user replaces the source's.
    """
    gained = {}
    for name, key in KEYS.items():
        old, new = source.tables[name], live.tables[name]
        if name in ("items", "users"):
            old = old.filter(pc.invert(pc.is_in(old.column(key), new.column(key).combine_chunks())))
        else:
            new = new.filter(pc.invert(pc.is_in(new.column(key), old.column(key).combine_chunks())))
        joined = pa.concat_tables([old, new])
        gained[name] = joined.num_rows - source.tables[name].num_rows
        source.tables[name] = joined
    return gained
