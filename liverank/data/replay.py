"""Real baskets replayed as live traffic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.dataset import Dataset, read_dataset, read_table, write_dataset
from liverank.data.world import LiveRequest, event_id
from liverank.errors import DataError
from liverank.events import Interaction


@dataclass(frozen=True)
class Basket:
    """What a customer bought at once: item number -> quantity."""

    user_id: str
    session_id: str
    timestamp: datetime
    items: dict[int, float]
    context: dict[str, str]


class BasketReplay:
    """The baskets after a cut, each as a request for which the truth is known.

    Candidates are the basket's items (at most half of the list) and other items drawn by their popularity before the
    cut, shuffled. The user buys the basket's items wherever they stand in the list: the basket is what really
    happened, so there is no position bias in it.

    After `drift`, item number r by popularity is replaced by r + n/2 (mod n) in everything that is wanted, bought and
    proposed: the bestsellers are now things that hardly sold before.

    Args:
        dataset: a dataset folder with interactions before and after the cut.
        cut: the instant at which the replay begins.
        seed: of the other candidates and their order.
        candidates: items in each request.

    Raises:
        DataError: no basket lies after the cut, or none before it.
    """

    def __init__(self, dataset: Path, cut: datetime, seed: int = 0, candidates: int = 50) -> None:
        events = read_table(dataset, "interactions")
        before = events.filter(pc.less(events.column(c.TIMESTAMP), pa.scalar(cut, pa.timestamp("us", tz="UTC"))))
        after = events.slice(before.num_rows)
        if not before.num_rows or not after.num_rows:
            raise DataError(f"{dataset} has no interactions on one side of {cut:%Y-%m-%d}.", "Choose another cut.")
        self._names = pc.unique(events.column(c.ITEM_ID)).to_pylist()
        numbers = {name: number for number, name in enumerate(self._names)}
        counts = np.bincount([numbers[name] for name in before.column(c.ITEM_ID).to_pylist()], minlength=len(numbers))
        self._weights = counts / counts.sum()
        self._shift = _shifted(counts)
        self._baskets = _baskets(after, numbers)
        self._candidates = candidates
        self._rng = np.random.default_rng([seed, 10])
        self._next, self._drifted = 0, False
        self._open: dict[tuple[str, datetime], Basket] = {}

    def __len__(self) -> int:
        """Baskets that are left."""
        return len(self._baskets) - self._next

    def drift(self) -> None:
        """From now on other items are wanted, bought and proposed in place of each; a second call turns it back."""
        self._drifted = not self._drifted

    def requests(self, count: int) -> Iterator[LiveRequest]:
        """The next baskets as requests, in their real order and at their real times."""
        for basket in self._baskets[self._next : self._next + count]:
            self._next += 1
            yield self._request(basket)

    def _request(self, basket: Basket) -> LiveRequest:
        wanted = dict(list(basket.items.items())[: self._candidates // 2])
        others = self._others(wanted, self._candidates - len(wanted))
        if self._drifted:
            wanted = {int(self._shift[item]): quantity for item, quantity in wanted.items()}
            others = self._shift[others]
        items = self._rng.permutation(np.concatenate([list(wanted), others]).astype(np.int64))
        names = [self._names[item] for item in items]
        request = LiveRequest(basket.user_id, names, basket.timestamp, "basket", basket.session_id, basket.context)
        self._open[basket.session_id, basket.timestamp] = Basket(
            basket.user_id, basket.session_id, basket.timestamp, wanted, basket.context
        )
        return request

    def _others(self, wanted: dict[int, float], count: int) -> np.ndarray:
        weights = self._weights.copy()
        weights[list(wanted)] = 0
        count = min(count, int((weights > 0).sum()))
        return self._rng.choice(len(weights), count, replace=False, p=weights / weights.sum())

    def react(self, request: LiveRequest, ranked_item_ids: Sequence[str], impression_id: str) -> list[Interaction]:
        """Buys the basket's items a second after the list, in the list's order.

        Raises:
            DataError: the request is not one of this replay's or has been answered already.
        """
        basket = self._open.pop((request.session_id, request.timestamp), None)
        if basket is None:
            raise DataError(f"The request of {request.user_id} at {request.timestamp} is not open in this replay.")
        bought = {self._names[item]: quantity for item, quantity in basket.items.items()}
        return [
            Interaction(
                event_id=event_id(impression_id, number),
                user_id=request.user_id,
                item_id=name,
                type="purchase",
                value=bought[name],
                timestamp=(at := request.timestamp + timedelta(seconds=1)),
                received_at=at,  # by the replay's clock, whenever a server hears of it
                impression_id=impression_id,
                session_id=request.session_id,
                context=dict(request.context),
            )
            for number, name in enumerate(name for name in ranked_item_ids if name in bought)
        ]


def _shifted(counts: np.ndarray) -> np.ndarray:
    """`[items]`: the item that stands half a catalogue further down in popularity, round about."""
    ranked = np.argsort(-counts, kind="stable")
    shift = np.empty(len(counts), np.int64)
    shift[ranked] = np.roll(ranked, -(len(counts) // 2))
    return shift


def _baskets(events: pa.Table, numbers: dict[str, int]) -> list[Basket]:
    """Interactions of one user and session (without sessions: of one time) as baskets, in time order."""
    baskets: dict[tuple[str, object], Basket] = {}
    for row in events.to_pylist():
        key = (row[c.USER_ID], row[c.SESSION_ID] or row[c.TIMESTAMP])
        if key not in baskets:
            session = row[c.SESSION_ID] or f"{row[c.USER_ID]}-{row[c.TIMESTAMP]:%Y%m%dT%H%M%S}"
            context = dict(row[c.CONTEXT] or [])
            baskets[key] = Basket(row[c.USER_ID], session, row[c.TIMESTAMP], {}, context)
        items = baskets[key].items
        items[numbers[row[c.ITEM_ID]]] = items.get(numbers[row[c.ITEM_ID]], 0.0) + (row[c.VALUE] or 1.0)
    return list(baskets.values())


def split_for_replay(dataset: Path, cut: datetime, out: Path) -> Dataset:
    """Writes the part of a dataset folder before the cut as another dataset folder: the source to train from.

    The catalogue stays whole, so that items first bought after the cut are known by their text.

    Raises:
        DataError: `dataset` is no dataset folder.
    """
    part = read_dataset(dataset)
    instant = pa.scalar(cut, pa.timestamp("us", tz="UTC"))
    for name in ("impressions", "interactions"):
        rows = part.tables[name]
        part.tables[name] = rows.filter(pc.less(rows.column(c.TIMESTAMP), instant))
    part.notes.append(f"Only what happened before {cut:%Y-%m-%d %H:%M %Z} is in this part.")
    write_dataset(part, out)
    return part
