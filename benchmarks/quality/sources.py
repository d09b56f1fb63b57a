"""From the files of public data sets to dataset folders."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.config import DataConfig
from liverank.data.ingest import ingest
from liverank.events import ARROW_SCHEMAS

GAMES: Final = "amazon-llamarec/games_interactions.parquet"
ML100K: Final = "amazon-llamarec/ml100k_interactions.parquet"
ML1M: Final = "ml-1m/ml-1m_sas.txt.gz"
MOVIES: Final = "ml-1m/movies.dat"
UCI: Final = "uci-online-retail/online_retail.parquet"
LLMRANK: Final = "llmrank/Games-6k"
RETRIEVER: Final = "sasrec"
START: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
SECOND: Final = 1_000_000
SPAN: Final = 10_000
"""Seconds from the first possible event of the lists' users to what they are asked for."""


def prepare(name: str, data: Path, out: Path) -> None:
    """Writes the dataset folder `out` of a set.

    Args:
        name: `games`, `ml100k`, `ml1m`, `uci` or `lists`.
        data: folder of the public data sets.
        out: an empty folder.
    """
    if name in _MADE:
        made = out / "contract"
        made.mkdir(parents=True)
        for table, rows in _MADE[name](data).items():
            pq.write_table(rows, made / f"{table}.parquet")
        ingest(DataConfig(source=str(made), format="contract", name=name), out)
    else:
        source, zone = {"games": (GAMES, ""), "ml1m": (ML1M, ""), "uci": (UCI, "Europe/London")}[name]
        ingest(DataConfig(source=str(data / source), timezone=zone), out)


def ml100k(data: Path) -> dict[str, pa.Table]:
    """The 5-core of ml-latest-small, with event ids in the order of the file, which is what breaks ties of time.

    Titles and genres are those of the 1M release, which has half of the movies; the others have no text.
    """
    rows = pq.read_table(data / ML100K).to_pandas()
    events = pd.DataFrame(
        {
            c.EVENT_ID: [f"{at:08d}" for at in range(len(rows))],
            c.USER_ID: rows["uid"].astype(str),
            c.ITEM_ID: rows["movie_id"].astype(str),
            c.TYPE: "rating",
            c.TIMESTAMP: pd.to_datetime(rows["timestamp"], unit="s", utc=True),
            c.VALUE: rows["rating"],
        }
    )
    lines = (data / MOVIES).read_text(encoding="latin-1").splitlines()
    known = {movie: (title, genres) for movie, title, genres in (line.split("::") for line in lines)}
    ids = events[c.ITEM_ID].unique()
    items = [{c.ITEM_ID: movie, c.TITLE: title, c.CATEGORY: genres.replace("|", ", ")}
             for movie in ids for title, genres in [known.get(movie, ("", ""))]]  # fmt: skip
    return {"items": _rows(items, "items"), "interactions": _rows(events.to_dict("records"), "interactions")}


def logged_lists(data: Path) -> dict[str, pa.Table]:
    """Games of 2018: 6,000 users' lists of 100, and the sequences of all users.

    The files have an order and no times. Every user's events are set one second apart so that all end at one instant:
    what is asked for at `SPAN` seconds, the list half a second before, the event before it at `SPAN` - 1. So one cut in
    time takes the last event of every user for the test and the one before for the validation (`share`).
    """
    users, histories, truths = _sequences(data / f"{LLMRANK}.test.inter.gz")
    shown = _lines(data / f"{LLMRANK}.{RETRIEVER}.gz")
    lists = {line[0]: line[1].split() for line in (text.split("\t") for text in shown)}
    events, impressions = [], []
    for user, history, truth in zip(users, histories, truths, strict=True):
        first = SPAN - len(history)
        events += [_event(user, item, first + at) for at, item in enumerate(history)]
        listed = user in lists
        events.append(_event(user, truth, SPAN, f"list-{user}" if listed else None))
        if listed:
            impressions.append(_impression(user, lists[user]))
    titles = (line.split("\t") for line in _lines(data / f"{LLMRANK}.item.gz")[1:])
    items = [{c.ITEM_ID: item, c.TITLE: title} for item, title in titles]
    return {
        "items": _rows(items, "items"),
        "interactions": _rows(events, "interactions"),
        "impressions": _rows(impressions, "impressions"),
    }


def share(dataset: Path) -> float:
    """The share of the time of `logged_lists` that holds the last event of every user, and before it one more."""
    times = pq.read_table(dataset / "interactions.parquet", columns=[c.TIMESTAMP])[c.TIMESTAMP]
    micros = times.cast(pa.int64()).to_numpy()
    return 0.75 * SECOND / float(np.ptp(micros))


def _sequences(path: Path) -> tuple[list[str], list[list[str]], list[str]]:
    parts = [line.split("\t") for line in _lines(path)[1:]]
    return [part[0] for part in parts], [part[1].split() for part in parts], [part[2] for part in parts]


def _lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()


def _event(user: str, item: str, second: int, impression: str | None = None) -> dict[str, Any]:
    return {
        c.EVENT_ID: f"{user}-{second}",
        c.USER_ID: user,
        c.ITEM_ID: item,
        c.TYPE: "rating",
        c.TIMESTAMP: START + second * SECOND,
        c.VALUE: 1.0,
        c.IMPRESSION_ID: impression,
    }


def _impression(user: str, items: list[str]) -> dict[str, Any]:
    return {
        c.IMPRESSION_ID: f"list-{user}",
        c.USER_ID: user,
        c.TIMESTAMP: START + SPAN * SECOND - SECOND // 2,
        c.SHOWN: [{c.ITEM_ID: item, c.POSITION: at} for at, item in enumerate(items, 1)],
    }


def _rows(rows: list[dict[str, Any]], table: str) -> pa.Table:
    """Rows in the contract's columns, as far as they are given."""
    names = rows[0].keys()
    return pa.Table.from_pylist(rows, schema=pa.schema([at for at in ARROW_SCHEMAS[table] if at.name in names]))


_MADE: Final[Mapping[str, Callable[[Path], dict[str, pa.Table]]]] = {"ml100k": ml100k, "lists": logged_lists}
