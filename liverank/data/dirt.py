"""Dirty rows for the synthetic data, so that validation has something real to find."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.dataset import Dataset, rejected_rows

KINDS = ("duplicate", "unknown item", "future", "unknown type", "negative value", "no user")


def add_dirt(dataset: Dataset, share: float, seed: int) -> dict[str, int]:
    """Adds dirty copies of a share of the interactions, in equal parts of KINDS; returns how many of each.

    Rows without a user cannot be expressed in the contract: they join the rejected rows.
    """
    events = dataset.tables["interactions"]
    rng = np.random.default_rng([seed, 8])
    each = max(1, round(events.num_rows * share / len(KINDS)))
    picks = {kind: events.take(pa.array(rng.choice(events.num_rows, each))) for kind in KINDS}
    parts = [events]
    for kind, rows in picks.items():
        if kind == "no user":
            nameless = _replace(rows, c.USER_ID, pa.nulls(each, pa.string())).drop_columns([c.CONTEXT])
            reasons = pa.repeat(pa.scalar(f"{c.USER_ID} is missing"), each)
            dataset.rejected = pa.concat_tables([dataset.rejected, rejected_rows("interactions", nameless, reasons)])
        else:
            parts.append(_soiled(rows, kind))
    dataset.tables["interactions"] = pa.concat_tables([part.cast(events.schema) for part in parts])
    dataset.notes.append(f"Dirty rows were added on purpose: {each:,} of each of {', '.join(KINDS)}.")
    return dict.fromkeys(KINDS, each)


def _soiled(rows: pa.Table, kind: str) -> pa.Table:
    if kind == "duplicate":
        return rows
    fresh = pc.binary_join_element_wise("dirt", kind.replace(" ", "-"), _numbers(rows.num_rows), "-")
    rows = _replace(rows, c.EVENT_ID, fresh)
    if kind == "unknown item":
        return _replace(rows, c.ITEM_ID, pc.binary_join_element_wise("gone", _numbers(rows.num_rows), "-"))
    if kind == "future":
        ahead = pa.scalar(10 * 365 * 86_400_000_000, pa.duration("us"))
        return _replace(rows, c.TIMESTAMP, pc.add(rows.column(c.TIMESTAMP), ahead))
    if kind == "unknown type":
        return _replace(rows, c.TYPE, pa.repeat(pa.scalar("hover"), rows.num_rows))
    return _replace(rows, c.VALUE, pa.repeat(pa.scalar(-1.0), rows.num_rows))


def _numbers(count: int) -> pa.Array:
    return pa.array(range(count)).cast(pa.string())


def _replace(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values)
