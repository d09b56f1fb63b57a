"""The counts of whole days as serving keeps them: those of the snapshot, and the live log's behind them.

A day's counts are used once it is over, by requests of later days. The snapshot holds the days before
`settings.counted_until`; that day and all later ones come from the live log alone, so that no event is counted twice
whether or not the training read that log.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from liverank.events import Impression, Interaction, Record
from liverank.features.popularity import COUNTS
from liverank.features.snapshot import DailyRows, Settings

DAY_SECONDS: Final = 86400
EVENTS, SHOWN, CLICKS, PURCHASES = range(len(COUNTS))
MOST_TABLES: Final = 8
"""Days whose window sums are kept: a server needs one, an evaluation walks through them in order."""
Counts = npt.NDArray[np.int32]


def day_of(seconds: float) -> int:
    """Whole UTC days since 1970-01-01; exact for instants in whole microseconds."""
    return int(round(seconds * 1e6) // (DAY_SECONDS * 1_000_000))


class DailyCounts:
    """Sums over trailing windows for any day; `add` may run in another thread than `table`."""

    def __init__(self, settings: Settings, daily: DailyRows) -> None:
        self.settings = settings
        self.daily = daily
        self._live: dict[int, dict[str, list[int]]] = {}
        self._views, self._clicks = frozenset(settings.view_types), frozenset(settings.click_types)
        self._purchases = frozenset(settings.purchase_types)
        self._tables: OrderedDict[tuple[int, int], npt.NDArray[np.float64]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, record: Record, arrived: float) -> None:
        """Counts one record of the log that arrived at that time (epoch seconds); records that count nothing pass.

        An impression counts on its own day, an interaction on the day it was known, as offline.
        """
        if isinstance(record, Impression):
            day = day_of(record.timestamp.timestamp())
            self._count(day, ((line.item_id, SHOWN) for line in record.shown))
        elif isinstance(record, Interaction):
            known = max(record.timestamp.timestamp(), record.received_at.timestamp() if record.received_at else arrived)
            self._count(day_of(known), ((record.item_id, column) for column in self._columns(record)))

    def _columns(self, event: Interaction) -> Iterable[int]:
        yield EVENTS
        if event.impression_id is None and event.type in self._views:
            yield SHOWN
        if event.type in self._clicks:
            yield CLICKS
        if event.type in self._purchases:
            yield PURCHASES

    def _count(self, day: int, counted: Iterable[tuple[str, int]]) -> None:
        if day < self.settings.counted_until:
            return
        with self._lock:
            items = self._live.setdefault(day, {})
            for item_id, column in counted:
                items.setdefault(item_id, [0] * len(COUNTS))[column] += 1
            for key in [key for key in self._tables if key[0] > day]:
                del self._tables[key]

    def forget_before(self, day: int) -> None:
        """Frees the live counts that no request of `day` or later asks for."""
        oldest = day - max(self.settings.days, default=0)
        with self._lock:
            for old in [old for old in self._live if old < oldest]:
                del self._live[old]

    def table(self, day: int, index: Mapping[str, int]) -> npt.NDArray[np.float64]:
        """Sums for requests of `day`, `[items + 1, windows, 4]`.

        `index` names the rows; the last one is of all items, also those that the index lacks.
        """
        with self._lock:
            key = (day, len(index))
            if key not in self._tables:
                self._tables[key] = self._sums(day, index)
                if len(self._tables) > MOST_TABLES:
                    self._tables.popitem(last=False)
            return self._tables[key]

    def _sums(self, day: int, index: Mapping[str, int]) -> npt.NDArray[np.float64]:
        # What the index lacks has row -1, the last, on both ways in.
        total = np.zeros((len(index) + 1, len(self.settings.days), len(COUNTS)))
        for at, width in enumerate(self.settings.days):
            start, end = np.searchsorted(self.daily.day, [day - width, min(day, self.settings.counted_until)])
            np.add.at(total[:, at], self.daily.item[start:end], self.daily.counts[start:end])
            for live, items in self._live.items():
                if items and day - width <= live < day:
                    rows = [index.get(item_id, -1) for item_id in items]
                    np.add.at(total[:, at], rows, np.asarray(list(items.values())))
        total[-1] = total.sum(axis=0)
        return total
