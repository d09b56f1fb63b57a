"""Counts of a prequential walk: renewed each midnight, or left as they were; and the plain rows made of them."""

from __future__ import annotations

import heapq
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from liverank.config.training import CountConfig
from liverank.ranking import count
from liverank.ranking.basket_stream import DAY, Basket, BasketStream
from liverank.ranking.count import CountRanker
from liverank.ranking.data import Events, Floats
from liverank.ranking.live_counts import LiveCounts
from liverank.ranking.transitions import decayed_popularity

HALF_LIFE_DAYS = 14
POPULAR = "popularity, half-life 14 days"
BOUGHT_MOST = "what the customer bought most"
TOGETHER = "co-occurrence + 0.5 TF-IDF + popularity"


class Counts:
    """The count ranker as it was fitted at an instant, and as it stands each midnight after it.

    The weights are those of the instant in both: serving renews weights by training alone.
    """

    def __init__(self, stream: BasketStream, config: CountConfig, start: float) -> None:
        events = stream.before(start)
        catalogue = replace(stream.catalogue, train_events=met(events, len(stream.catalogue)))
        self.frozen = CountRanker.fit(catalogue, events, config)
        """What a served model without renewal has until it is trained again."""
        self._stream, self._until = stream, start
        self._live = LiveCounts(catalogue, events, config)

    def at(self, midnight: float) -> CountRanker:
        """Having learned from all baskets before, each once; to be asked for one midnight after the other."""
        times = self._stream.events.timestamp
        # The day of the start begins before it, and what lies between the two was counted at the start.
        now = max(midnight, self._until)
        self._live.add(self._stream.events.where((times >= self._until) & (times < now)))
        self._until = now
        items = len(self._stream.catalogue)
        self._live.catalogue = replace(self._live.catalogue, train_events=met(self._stream.before(now), items))
        return self._live.ranker(self.frozen.text, self.frozen.weights, now)


def met(events: Events, items: int) -> npt.NDArray[np.int64]:
    """Events of each item, `[items]`."""
    return np.bincount(events.item, minlength=items).astype(np.int64)


def labels_of(basket: Basket, items: int) -> Floats:
    """1 for the items of a basket, `[items]`."""
    labels = np.zeros(items, np.float32)
    labels[basket.items] = 1
    return labels


class RunningPopularity:
    """Decayed counts of items, half-life 14 days, brought forward from basket to basket."""

    def __init__(self, stream: BasketStream, start: float) -> None:
        self.time = start
        before = stream.before(start)
        # An item in a basket counts one, whatever its type weighs: so does `add`.
        alike = replace(before, weight=np.ones(len(before), np.float32))
        self.counts = decayed_popularity(alike, len(stream.catalogue), HALF_LIFE_DAYS, start)
        self._open: list[tuple[float, int, Basket]] = []
        self._number = 0

    def at(self, time: float) -> Floats:
        """The counts as they stand at `time`, with the baskets that ended before."""
        while self._open and self._open[0][0] < time:
            end, _, basket = heapq.heappop(self._open)
            self._decay(max(end, self.time))
            self.counts[basket.items] += 1
        return self._decay(time)

    def add(self, basket: Basket) -> None:
        """Counts a basket once it has ended."""
        heapq.heappush(self._open, (basket.end, self._number, basket))
        self._number += 1

    def _decay(self, time: float) -> Floats:
        self.counts = self.counts * np.float32(2 ** (-(time - self.time) / (HALF_LIFE_DAYS * DAY)))
        self.time = time
        return self.counts


def plain_rows(counted: Floats, popularity: Floats) -> dict[str, Floats]:
    """Baselines' scores of all items, `[items]` each, from signals `[items, count.SIGNALS]` and counts `[items]`."""
    popular = popularity / max(float(popularity.max()), 1e-9)
    together, similar = (_of_largest(np.expm1(counted[:, at])) for at in (0, 1))
    return {
        POPULAR: popular,
        BOUGHT_MOST: np.expm1(counted[:, count.SIGNALS.index("repeats")]) + 1e-3 * popular,
        "co-occurrence": together + 1e-6 * popular,
        TOGETHER: together + 0.5 * similar + popular,
    }


def _of_largest(values: Floats) -> Floats:
    return values / np.float32(max(float(values.max()), 1e-9))
