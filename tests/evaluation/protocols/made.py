"""Small data sets for the protocols, written as ingest writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from liverank import columns as c
from liverank.config import Config
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


def chains(folder: Path, users: int = 60, items: int = 40, length: int = 8, seed: int = 4, newcomers: int = 0) -> Path:
    """Users who walk through the items in a circle, mostly to the next one; newcomers take one item on the last day."""
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
    events += [event(f"v{at:03d}", f"i{at % items:02d}", 24 * (length - 1) + at / 100, 0) for at in range(newcomers)]
    for number, row in enumerate(events):
        row[c.EVENT_ID] = f"{number:06d}"
    return write(folder, events, [f"i{item:02d}" for item in range(items)])


def logged_lists(folder: Path, kept: Sequence[int] = (6, 7), otherwise: int = 0, late: float = -1.0) -> Path:
    """40 users with six events and two lists each; the item that came stands third, and every fourth list lacks it.

    Args:
        folder: to write.
        kept: the user's events before which a list was shown.
        otherwise: the one whose list is answered by its last item instead; 0: none.
        late: hours by which a list's clock is ahead of its answer's; an hour behind it by default.
    """
    rng, events, lists = np.random.default_rng(3), [], []
    items = [f"i{at:02d}" for at in range(40)]
    for user in range(40):
        path = [(user + step) % 40 for step in range(8)]
        for at, item in enumerate(path):
            others = [other for other in rng.permutation(40)[:10].tolist() if other not in path]
            held = others[:2] + ([] if user % 4 == 0 else [item]) + others[2:6]
            hour = 24 * at if at < 6 else 24 * (at + 2)
            name = f"l{user}-{at}" if at in kept else None
            answer = held[-1] if name and at == otherwise else item
            events.append(event(f"u{user}", items[answer], hour, len(events), impression=name))
            if name:
                lines = [
                    {c.ITEM_ID: items[one], c.POSITION: place, c.SCORE: 1.0 / place}
                    for place, one in enumerate(held, 1)
                ]
                when = START + timedelta(hours=hour + late)
                lists.append({c.IMPRESSION_ID: name, c.USER_ID: f"u{user}", c.TIMESTAMP: when, c.SHOWN: lines,
                              c.CONTEXT: [], c.DEGRADED: []})  # fmt: skip
    return write(folder, events, items, lists)


def other_answers(log: Log, *places: int) -> Log:
    """The user's rarest new items at these places of each user's events, counted from the end: no signal says so."""
    item, count = log.events.item.copy(), np.bincount(log.events.item, minlength=len(log.catalogue))
    for start, end in pairwise(log.user_starts().tolist()):
        for place in places:
            fresh = np.setdiff1d(np.arange(len(log.catalogue)), item[start:end])
            item[end - place] = fresh[np.argmin(count[fresh])]
    return replace(log, events=replace(log.events, item=item))


def without_interest(config: Config) -> Config:
    """The same configuration without the model that takes longest."""
    interest = config.training.interest.model_copy(update={"enabled": False})
    return config.model_copy(update={"training": config.training.model_copy(update={"interest": interest})})
