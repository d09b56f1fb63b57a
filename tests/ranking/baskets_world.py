"""Small streams of baskets, written as a dataset folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.events import ARROW_SCHEMAS

START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
WEEK = 7 * 86400.0
TREND = {9: 0.3, 10: 0.8, 11: 0.8}
Line = tuple[str, str, float, str | None, str]
"""User, item, seconds since `START`, session, type."""


def write(folder: Path, lines: Sequence[Line], items: Sequence[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    events = [
        {
            c.EVENT_ID: f"{at:06d}",
            c.USER_ID: user,
            c.ITEM_ID: item,
            c.TYPE: kind,
            c.TIMESTAMP: datetime.fromtimestamp(START + seconds, UTC),
            c.VALUE: 1.0,
            c.SESSION_ID: session,
            c.CONTEXT: [],
        }
        for at, (user, item, seconds, session, kind) in enumerate(lines)
    ]
    named = [{c.ITEM_ID: item, c.TITLE: f"thing {item}"} for item in items]
    pq.write_table(pa.Table.from_pylist(events, schema=ARROW_SCHEMAS["interactions"]), folder / "interactions.parquet")
    pq.write_table(pa.Table.from_pylist(named, schema=ARROW_SCHEMAS["items"]), folder / "items.parquet")
    return folder


def weekly() -> list[Line]:
    """Twenty customers, each with a basket of two a week: always their own item and one drawn at random.

    From the tenth week on the drawn item is more and more often `i39`, which nobody had before.
    """
    rng, lines = np.random.default_rng(5), []
    for week in range(12):
        for user in range(20):
            drawn = 39 if rng.random() < TREND.get(week, 0.0) else 20 + int(rng.integers(19))
            at = week * WEEK + user * 3600
            for line, item in enumerate((user, drawn)):
                lines.append((f"u{user:02d}", f"i{item}", at + line, f"{user}-{week}", "purchase"))
    return lines


ITEMS = tuple(f"i{at}" for at in range(40))
