"""A dataset of purchases as a stream of baskets in time order, for walking through it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.errors import DataError
from liverank.ranking.data import Catalogue, EncodedRequest, Events, Rows, catalogue_of, events_of
from liverank.ranking.protocol import Candidates, Context, History, Request

DAY = 86400.0


@dataclass(frozen=True)
class Basket:
    """One purchase: who, when (seconds since 1970), and the distinct items' rows."""

    user: int
    time: float
    items: Rows


@dataclass(frozen=True)
class BasketStream:
    """All baskets of a dataset; a basket is one session, timed at its first line, or else what has one timestamp."""

    catalogue: Catalogue
    events: Events
    """One event for each item of a basket, sorted by user and time."""
    baskets: list[Basket]
    """In time order."""
    _user_starts: npt.NDArray[np.int64]

    def before(self, time: float) -> Events:
        """The events before an instant."""
        return self.events.where(self.events.timestamp < time)

    def cut(self, share: float) -> float:
        """The instant from which on the last `share` of the baskets lie; infinite where there is none."""
        at = int(len(self.baskets) * (1 - share))
        return self.baskets[at].time if at < len(self.baskets) else np.inf

    def days(self, start: float, end: float = np.inf) -> Iterator[tuple[float, list[Basket]]]:
        """Midnight (UTC) and baskets of each day with baskets in `[start, end)`."""
        chosen = [basket for basket in self.baskets if start <= basket.time < end]
        for day in sorted({basket.time // DAY for basket in chosen}):
            yield day * DAY, [basket for basket in chosen if basket.time // DAY == day]

    def request(self, basket: Basket) -> EncodedRequest:
        """The user's state just before a basket, asking for all items."""
        first, end = self._user_starts[basket.user : basket.user + 2]
        times = self.events.timestamp[first:end]
        stop = int(first + np.searchsorted(times, basket.time))
        times = self.events.timestamp[first:stop]
        back = np.concatenate([np.cumsum((np.diff(times) != 0)[::-1])[::-1], [0]]) if len(times) else np.zeros(0)
        types = tuple(self.events.types[at] for at in self.events.type[first:stop])
        rows = self.events.item[first:stop].astype(np.int64)
        asked = Request(History(), Candidates(()), Context(basket.time))
        return EncodedRequest(asked, rows, types, times, back.astype(np.int64), np.arange(len(self.catalogue)))


def read_stream(dataset: Path, types: Collection[str] | None = None) -> BasketStream:
    """Reads a dataset folder as baskets.

    A basket is one session; a user's interactions of one timestamp, where they have no session.

    Args:
        dataset: the folder.
        types: of the interactions that count; None: all.

    Raises:
        DataError: a file is missing, or there is no interaction that counts.
    """
    paths = [dataset / f"{name}.parquet" for name in ("items", "interactions")]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is missing.", "Give a dataset folder, as the ingest step writes it.")
    catalogue = catalogue_of(pq.read_table(paths[0]))
    frame = pq.read_table(paths[1]).to_pandas()
    counted = frame[c.ITEM_ID].isin(catalogue.index)
    frame = frame[counted if types is None else counted & frame[c.TYPE].isin(types)].copy()
    if frame.empty:
        raise DataError(f"{dataset} holds no interaction that makes a basket.", "Give more, or name data.label_types.")
    moments = frame[c.USER_ID] + "\x1f" + frame[c.TIMESTAMP].astype("int64").astype(str)
    frame[c.SESSION_ID] = frame[c.SESSION_ID].fillna(moments)
    frame[c.TIMESTAMP] = frame.groupby(c.SESSION_ID)[c.TIMESTAMP].transform("min")
    frame = frame.drop_duplicates([c.SESSION_ID, c.ITEM_ID])
    frame = frame.sort_values([c.USER_ID, c.TIMESTAMP, c.SESSION_ID, c.ITEM_ID], kind="stable")
    return _stream(catalogue, frame)


def _stream(catalogue: Catalogue, frame: object) -> BasketStream:
    import pandas as pd
    import pyarrow as pa

    assert isinstance(frame, pd.DataFrame)
    columns = [c.USER_ID, c.ITEM_ID, c.TYPE, c.TIMESTAMP]
    table = pa.Table.from_pandas(frame[columns].assign(**{c.WEIGHT: 1.0}), preserve_index=False)
    events = events_of(table, catalogue)
    sessions = frame[c.SESSION_ID].to_numpy()
    starts = np.flatnonzero(np.append(True, sessions[1:] != sessions[:-1]))
    baskets = [
        Basket(int(events.user[first]), float(events.timestamp[first]), np.unique(events.item[first:last]))
        for first, last in zip(starts, np.append(starts[1:], len(sessions)), strict=True)
    ]
    baskets.sort(key=lambda basket: basket.time)
    return BasketStream(catalogue, events, baskets, np.searchsorted(events.user, np.arange(len(events.users) + 1)))
