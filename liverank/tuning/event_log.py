"""The training events of a features folder with the moment each became known: what folds are cut from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.errors import DataError
from liverank.ranking.data import Catalogue, Events, Rows, events_of
from liverank.ranking.protocol import History

NAMES = (c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TYPE, c.WEIGHT, c.TIMESTAMP, c.KNOWN_AT, c.IMPRESSION_ID)
Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EventLog:
    """Events sorted by user, time, arrival and event id; one row an event."""

    table: pa.Table
    """The columns `NAMES`."""

    @classmethod
    def of(cls, table: pa.Table) -> EventLog:
        """The log of a table with the columns `NAMES`, in any order."""
        order = [(name, "ascending") for name in (c.USER_ID, c.TIMESTAMP, c.KNOWN_AT, c.EVENT_ID)]
        return cls(table.select(list(NAMES)).sort_by(order).combine_chunks())

    @classmethod
    def read(cls, features: Path) -> EventLog:
        """The events of a features folder that had arrived when its training time ended.

        Raises:
            DataError: the folder is unfinished or unreadable.
        """
        from liverank.ranking.data import check_features, train_until

        check_features(features)
        try:
            files = sorted((features / "events").glob("*.parquet"))
            chosen = pc.field(c.KNOWN_AT) < train_until(features)
            return cls.of(pq.read_table(files, columns=list(NAMES), filters=chosen))
        except (OSError, pa.ArrowException) as problem:
            raise DataError(f"{features} cannot be read: {problem}.", "Run the features step again.") from problem

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def time(self) -> Seconds:
        """When each event happened, seconds since 1970."""
        return _seconds(self.table[c.TIMESTAMP])

    @cached_property
    def known(self) -> Seconds:
        """When each event had arrived, seconds since 1970."""
        return _seconds(self.table[c.KNOWN_AT])

    @cached_property
    def _users(self) -> tuple[Rows, list[str]]:
        return _codes(self.table[c.USER_ID])

    @cached_property
    def _items(self) -> tuple[Rows, list[str]]:
        return _codes(self.table[c.ITEM_ID])

    @cached_property
    def _types(self) -> tuple[Rows, list[str]]:
        return _codes(self.table[c.TYPE])

    @cached_property
    def _places(self) -> dict[str, slice]:
        """The rows of each user."""
        codes, names = self._users
        starts = np.flatnonzero(np.diff(codes, prepend=-1)).tolist()
        ends = [*starts[1:], len(codes)]
        return {names[codes[start]]: slice(start, end) for start, end in zip(starts, ends, strict=True)}

    def user(self, row: int) -> str:
        """User of an event."""
        codes, names = self._users
        return names[codes[row]]

    def history(self, user: str, at: float, length: int) -> History:
        """The user's latest `length` events, by when they happened, of those that had arrived before `at`."""
        place = self._places.get(user, slice(0, 0))
        rows = place.start + np.flatnonzero(self.known[place] < at)[-length:]
        return History(_named(self._items, rows), _named(self._types, rows), self.time[rows].tolist())

    def known_before(self, catalogue: Catalogue, at: float) -> Events:
        """What a model could learn from at the moment `at`: the events that had arrived before it."""
        return events_of(self.table.filter(pa.array(self.known < at)), catalogue)

    def baskets(self, label_types: Sequence[str]) -> Baskets:
        """Each user's positive events of one instant that answer no list, by user and time."""
        rows = self._positive(label_types, pc.is_null(self.table[c.IMPRESSION_ID]))
        new = (np.diff(self._users[0][rows], prepend=-1) != 0) | (np.diff(self.time[rows], prepend=-np.inf) != 0)
        return Baskets(rows, np.flatnonzero(new))

    def answers(self, label_types: Sequence[str]) -> dict[str, Rows]:
        """List -> rows of its positive answers."""
        rows = self._positive(label_types, pc.is_valid(self.table[c.IMPRESSION_ID]))
        found: defaultdict[str, list[int]] = defaultdict(list)
        lists = self.table[c.IMPRESSION_ID].take(pa.array(rows)).to_pylist()
        for row, name in zip(rows.tolist(), lists, strict=True):
            found[name].append(row)
        return {name: np.asarray(rows, np.int64) for name, rows in found.items()}

    def _positive(self, label_types: Sequence[str], chosen: Any) -> Rows:
        positive = pc.is_in(self.table[c.TYPE], pa.array(label_types, pa.string()))
        return np.flatnonzero(pc.and_(positive, chosen).to_numpy()).astype(np.int64)

    def truth(self, rows: Rows, before: float) -> tuple[str, ...]:
        """Distinct items of these rows that had arrived before `before`, sorted."""
        return tuple(sorted(set(_named(self._items, rows[self.known[rows] < before]))))


@dataclass(frozen=True)
class Baskets:
    """Positive events, grouped."""

    rows: Rows
    """Rows of the log, group after group."""
    starts: Rows
    """Where each group begins in `rows`."""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def first(self) -> Rows:
        """First row of each basket."""
        return self.rows[self.starts]

    def of(self, basket: int) -> Rows:
        """Rows of one basket."""
        ends = self.starts[basket + 1 : basket + 2]
        return self.rows[self.starts[basket] : ends[0] if len(ends) else len(self.rows)]


def _codes(column: pa.ChunkedArray) -> tuple[Rows, list[str]]:
    """Each value's place among the distinct ones, and those."""
    encoded = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    encoded = encoded.dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _named(coded: tuple[Rows, list[str]], rows: Rows) -> list[str]:
    codes, names = coded
    return [names[code] for code in codes[rows].tolist()]


def _seconds(column: pa.ChunkedArray) -> Seconds:
    micros = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return np.asarray(micros, np.float64) / 1e6
