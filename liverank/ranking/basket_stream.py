"""A dataset of purchases as a stream of baskets in time order, for walking through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config.data import DataConfig
from liverank.errors import DataError
from liverank.ranking.data import Catalogue, EncodedRequest, Events, Rows, events_of
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.ranking.weighed import read_weighed

if TYPE_CHECKING:
    import pandas as pd

DAY = 86400.0
_ASKED = "asked"


@dataclass(frozen=True)
class Basket:
    """One purchase: who, when (seconds since 1970), and the distinct items' rows."""

    user: int
    time: float
    """Of its first line, when it is asked what it will hold."""
    end: float
    """Of its last line: what is learned after that may know of it."""
    items: Rows


@dataclass(frozen=True)
class BasketStream:
    """All baskets of a dataset: a basket is a user's session, or what has one timestamp."""

    catalogue: Catalogue
    events: Events
    """One event for each item of a basket, at the basket's end, sorted by user and time."""
    baskets: list[Basket]
    """In time order."""
    _user_starts: npt.NDArray[np.int64]

    @cached_property
    def hash(self) -> str:
        """Tells this stream from others: its items, their texts and its events."""
        events = self.events
        found = sha256(repr((self.catalogue.item_ids, self.catalogue.texts, events.users, events.types)).encode())
        for column in (events.user, events.item, events.type, events.weight, events.timestamp):
            found.update(np.ascontiguousarray(column).tobytes())
        return found.hexdigest()

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


def read_stream(dataset: Path, config: DataConfig) -> BasketStream:
    """Reads a dataset folder as baskets.

    A basket is one session of one user, whose interactions are told apart by their time where they have no session.
    Only types that are labels make baskets, and only where they speak for the item; of an item's several interactions
    in a basket the heaviest counts.

    Args:
        dataset: the folder.
        config: types that count and what they weigh.

    Raises:
        DataError: a file is missing or unreadable, or there is no interaction that counts.
    """
    catalogue, interactions = read_weighed(dataset, config)
    wanted = pc.is_in(interactions[c.TYPE], pa.array(config.label_types, pa.string()))
    counted = interactions.filter(pc.and_(wanted, pc.greater(interactions[c.WEIGHT], 0)))
    if not counted.num_rows:
        raise DataError(f"{dataset} holds no interaction that makes a basket.", "Give more, or name data.label_types.")
    return _stream(catalogue, _in_baskets(counted))


def _in_baskets(counted: pa.Table) -> pd.DataFrame:
    """One row for each item of a basket, with the times of the basket's first and last line, by user, end and basket.

    Items are known once the whole basket is: a session that goes on after a cut is nothing to learn from before it.
    """
    basket = [c.USER_ID, c.SESSION_ID]
    frame = counted.select([*basket, c.ITEM_ID, c.TYPE, c.TIMESTAMP, c.WEIGHT]).to_pandas()
    # No session id holds this sign, so that a moment is never taken for one.
    moments = "\x1f" + frame[c.TIMESTAMP].astype("int64").astype(str)
    frame[c.SESSION_ID] = frame[c.SESSION_ID].fillna(moments)
    # Sessions may be numbered for each user anew: they are a user's own throughout.
    times = frame.groupby(basket)[c.TIMESTAMP]
    frame[_ASKED], frame[c.TIMESTAMP] = times.transform("min"), times.transform("max")
    heaviest_first = frame.sort_values(c.WEIGHT, ascending=False, kind="stable")
    frame = heaviest_first.drop_duplicates([*basket, c.ITEM_ID])
    return frame.sort_values([c.USER_ID, c.TIMESTAMP, c.SESSION_ID, c.ITEM_ID], kind="stable")


def _stream(catalogue: Catalogue, frame: pd.DataFrame) -> BasketStream:
    columns = [c.USER_ID, c.ITEM_ID, c.TYPE, c.TIMESTAMP, c.WEIGHT]
    events = events_of(pa.Table.from_pandas(frame[columns], preserve_index=False), catalogue)
    sessions, asked = frame[c.SESSION_ID].to_numpy(), frame[_ASKED].dt.as_unit("us").astype("int64").to_numpy() / 1e6
    starts = np.flatnonzero(np.append(True, (sessions[1:] != sessions[:-1]) | (np.diff(events.user) != 0)))
    baskets = [
        Basket(
            int(events.user[first]),
            float(asked[first]),
            float(events.timestamp[first]),
            np.unique(events.item[first:last]),
        )
        for first, last in zip(starts, np.append(starts[1:], len(sessions)), strict=True)
    ]
    baskets.sort(key=lambda basket: basket.time)
    return BasketStream(catalogue, events, baskets, np.searchsorted(events.user, np.arange(len(events.users) + 1)))
