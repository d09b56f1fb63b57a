"""A snapshot's arrays as the tables that the frames of `candidates` start from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from liverank import columns as c
from liverank.features.candidates import BAND, BORN, CATEGORY_NUMBER
from liverank.features.definitions import DAY
from liverank.features.popularity import COUNTS
from liverank.features.similarity import NEIGHBOUR
from liverank.features.snapshot import NEVER, DailyRows, Neighbours, Snapshot

Rows = npt.NDArray[np.int64]


def items_table(snapshot: Snapshot, item_ids: Sequence[str], rows: Rows | None = None) -> pa.Table:
    """item_id, category_number, price_band and born of these rows of the catalogue; of all by default."""
    chosen = np.arange(len(snapshot)) if rows is None else rows
    born = snapshot.born[chosen]
    return pa.table(
        {
            c.ITEM_ID: pa.array([item_ids[row] for row in chosen.tolist()], pa.string()),
            CATEGORY_NUMBER: snapshot.category[chosen],
            BAND: snapshot.price_band[chosen],
            BORN: pa.array(born, mask=born == NEVER),
        }
    )


def hours_table(snapshot: Snapshot) -> pa.Table:
    """category_number, hour and hour_affinity."""
    categories = len(snapshot.affinity)
    return pa.table(
        {
            CATEGORY_NUMBER: np.repeat(np.arange(categories, dtype=np.int32), 24),
            c.HOUR: np.tile(np.arange(24, dtype=np.int32), categories),
            "hour_affinity": snapshot.affinity.ravel(),
        }
    )


def neighbours_table(near: Neighbours, measures: Sequence[str], item_ids: Sequence[str], rows: Rows) -> pa.Table:
    """item_id, neighbour and the measures in millionths: the neighbours of these rows of the catalogue."""
    found, values = near.rows[rows], near.values[rows]
    there = found >= 0
    items = np.repeat(rows, there.sum(axis=1)).tolist()
    columns = {
        c.ITEM_ID: pa.array([item_ids[row] for row in items], pa.string()),
        NEIGHBOUR: pa.array([item_ids[row] for row in found[there].tolist()], pa.string()),
    }
    return pa.table(columns | {name: values[there][:, at] for at, name in enumerate(measures)})


def days_table(daily: DailyRows, item_ids: Sequence[str]) -> pa.Table:
    """`popularity.item_days`; the item is null for those that the catalogue lacks."""
    ids = pa.array([item_ids[row] if row >= 0 else None for row in daily.item.tolist()], pa.string())
    counts = {name: daily.counts[:, at].astype(np.int64) for at, name in enumerate(COUNTS)}
    return pa.table({c.ITEM_ID: ids, DAY: daily.day, **counts})
