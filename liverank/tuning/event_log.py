"""The training events of a features folder with the moment each became known: what folds are cut from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

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
    def items(self) -> list[str]:
        """Item of each event."""
        return list(self.table[c.ITEM_ID].to_pylist())

    @cached_property
    def types(self) -> list[str]:
        """Type of each event."""
        return list(self.table[c.TYPE].to_pylist())

    @cached_property
    def _places(self) -> dict[str, slice]:
        """The rows of each user."""
        users = self.table[c.USER_ID].to_pylist()
        starts = [at for at, user in enumerate(users) if at == 0 or user != users[at - 1]]
        return {users[start]: slice(start, end) for start, end in zip(starts, [*starts[1:], len(users)], strict=True)}

    def history(self, user: str, at: float, length: int) -> History:
        """The user's latest `length` events, by when they happened, of those that had arrived before `at`."""
        place = self._places.get(user, slice(0, 0))
        rows = place.start + np.flatnonzero(self.known[place] < at)[-length:]
        chosen = rows.tolist()
        times = self.time[rows].tolist()
        return History([self.items[row] for row in chosen], [self.types[row] for row in chosen], times)

    def known_before(self, catalogue: Catalogue, at: float) -> Events:
        """What a model could learn from at the moment `at`: the events that had arrived before it."""
        return events_of(self.table.filter(pa.array(self.known < at)), catalogue)

    def baskets(self, label_types: Sequence[str]) -> list[Rows]:
        """Rows of each user's positive events of one instant that answer no list, by user and time."""
        positive = pc.is_in(self.table[c.TYPE], pa.array(label_types, pa.string()))
        chosen = pc.and_(positive, pc.is_null(self.table[c.IMPRESSION_ID]))
        rows = np.flatnonzero(chosen.to_numpy(zero_copy_only=False))
        if not len(rows):
            return []
        users = self.table[c.USER_ID].combine_chunks().dictionary_encode().indices.to_numpy()[rows]
        new = np.flatnonzero((np.diff(users) != 0) | (np.diff(self.time[rows]) != 0)) + 1
        return list(np.split(rows, new))

    def answers(self, label_types: Sequence[str]) -> dict[str, Rows]:
        """List -> rows of its positive answers."""
        positive = pc.is_in(self.table[c.TYPE], pa.array(label_types, pa.string()))
        chosen = pc.and_(positive, pc.is_valid(self.table[c.IMPRESSION_ID]))
        found: defaultdict[str, list[int]] = defaultdict(list)
        lists = self.table[c.IMPRESSION_ID].to_pylist()
        for row in np.flatnonzero(chosen.to_numpy(zero_copy_only=False)).tolist():
            found[lists[row]].append(row)
        return {name: np.asarray(rows, np.int64) for name, rows in found.items()}

    def truth(self, rows: Rows, before: float) -> tuple[str, ...]:
        """Distinct items of these rows that had arrived before `before`, sorted."""
        return tuple(sorted({self.items[row] for row in rows.tolist() if self.known[row] < before}))


def _seconds(column: pa.ChunkedArray) -> Seconds:
    micros = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return np.asarray(micros, np.float64) / 1e6
