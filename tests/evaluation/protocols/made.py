"""Small data sets for the protocols, written as ingest writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from liverank import columns as c
from liverank.config.data import DataConfig
from liverank.data.dataset import Dataset, empty_tables, write_dataset
from liverank.evaluation.protocols.log import Log, read_log
from liverank.events import ARROW_SCHEMAS

START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = ("red", "green", "blue", "round", "square", "soft", "hard", "old", "new", "wide")


def event(user: str, item: str, hour: float, number: int, kind: str = "rating", impression: str | None = None):
    return {
        c.EVENT_ID: f"{number:06d}",
        c.USER_ID: user,
        c.ITEM_ID: item,
        c.TYPE: kind,
        c.TIMESTAMP: START + timedelta(hours=hour),
        c.VALUE: 1.0,
        c.IMPRESSION_ID: impression,
        c.CONTEXT: [],
    }


def title(number: int) -> str:
    return " ".join((WORDS[number % 10], WORDS[(number // 3) % 10], f"thing{number % 7}"))


def write(
    folder: Path, events: Sequence[dict], items: Sequence[str], impressions: Sequence[dict] = (), name: str = "made"
) -> Path:
    tables = empty_tables()
    rows = [{c.ITEM_ID: item, c.TITLE: title(at)} for at, item in enumerate(items)]
    tables["items"] = pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS["items"])
    tables["interactions"] = pa.Table.from_pylist(list(events), schema=ARROW_SCHEMAS["interactions"])
    tables["impressions"] = pa.Table.from_pylist(list(impressions), schema=ARROW_SCHEMAS["impressions"])
    write_dataset(Dataset(tables, source=name), folder)
    return folder


def sequences(folder: Path, given: dict[str, str], items: str = "abcdefgh", same_time: bool = False) -> Log:
    """A log of users' sequences of one-letter items, an hour apart."""
    events = [
        event(user, item, 0 if same_time else at, 100 * number + at)
        for number, (user, letters) in enumerate(given.items())
        for at, item in enumerate(letters)
    ]
    return read_log(write(folder, events, list(items)), DataConfig())


def chains(folder: Path, users: int = 60, items: int = 40, length: int = 8, seed: int = 4) -> Path:
    """Users who walk through the items in a circle, mostly to the next one."""
    rng, events = np.random.default_rng(seed), []
    for user in range(users):
        at, seen = int(rng.integers(items)), []
        while len(seen) < length:
            if at not in seen:
                seen.append(at)
            at = (at + (1 if rng.random() < 0.8 else int(rng.integers(1, 6)))) % items
        events += [
            event(f"u{user:03d}", f"i{item:02d}", 24 * hour + user / 100, len(events) + hour)
            for hour, item in enumerate(seen)
        ]
    for number, row in enumerate(events):
        row[c.EVENT_ID] = f"{number:06d}"
    return write(folder, events, [f"i{item:02d}" for item in range(items)])
