"""What is asked of a ranker in a split: rank all items for a user at an instant, and what then came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, overload

import numpy as np

from liverank.evaluation.protocols.log import Log, Mask
from liverank.ranking.catalogue import Floats, Rows
from liverank.ranking.data import EncodedRequest, LabelledRequest, TrainingData
from liverank.ranking.protocol import Candidates, Context, History, Request

VALIDATION_REQUESTS = 1000
VALIDATION_CELLS = 8_000_000
"""Requests times items of all validation requests together: some 700 MB while the blend learns."""
REQUESTS_SEED = 13
Drawn = TypeVar("Drawn")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request over all items."""

    user: int
    """Index into the log's users."""
    time: float
    """Seconds since 1970-01-01 UTC: when the request is made."""
    start: int
    """First event of the user."""
    stop: int
    """The event after the last one that lies before the request."""
    truth: Rows
    """Rows of the items that came, distinct."""


@dataclass(frozen=True)
class Split:
    """A log, what of it may be trained on, and what is asked.

    Hidden items have no event that anybody sees, neither in training nor in a history; what a user had is masked by
    all of the user's events, hidden ones too.
    """

    log: Log
    training: Mask
    """Which events are trained on, `[events]`."""
    validation: list[Ask] = field(repr=False)
    test: list[Ask] = field(repr=False)
    keep_seen: bool = False
    """Whether items that the user had before are candidates."""
    hidden: Mask | None = None
    """Items hidden from all training, `[items]`."""
    withheld: Mask | None = None
    """Items that are no candidates in validation, `[items]`: those whose turn only comes in the test."""
    complete: Mask | None = None
    """Which events are known when the test begins, `[events]`: the training's and the validation's."""

    def candidates(self, ask: Ask, validation: bool = False) -> Rows:
        """Rows that are ranked, ascending."""
        mask = np.ones(len(self.log.catalogue), bool)
        if not self.keep_seen:
            mask[self.log.events.item[ask.start : ask.stop]] = False
        if validation and self.withheld is not None:
            mask &= ~self.withheld
        return np.flatnonzero(mask)

    def history(self, ask: Ask) -> Rows:
        """Indices of the events that the request knows of, oldest first."""
        at = np.arange(ask.start, ask.stop)
        return at if self.hidden is None else at[~self.hidden[self.log.events.item[at]]]

    def history_rows(self, ask: Ask) -> Rows:
        """Rows of the items of those events."""
        return self.log.events.item[self.history(ask)].astype(np.int64)

    def encoded(self, ask: Ask, candidates: Rows) -> EncodedRequest:
        """The request as the rankers read it."""
        events, at = self.log.events, self.history(ask)
        times = events.timestamp[at]
        back = np.concatenate([np.cumsum((np.diff(times) != 0)[::-1])[::-1], [0]]) if len(at) else np.zeros(0)
        types = tuple(map(events.types.__getitem__, events.type[at].tolist()))
        asked = Request(History(), Candidates(()), Context(ask.time), events.users[ask.user])
        return EncodedRequest(asked, events.item[at].astype(np.int64), types, times, back.astype(np.int64), candidates)

    def request(self, ask: Ask, candidates: Sequence[str]) -> Request:
        """The request with ids, as a served one."""
        events, at, names = self.log.events, self.history(ask), self.log.catalogue.item_ids
        items = [names[row] for row in events.item[at].tolist()]
        types = [events.types[kind] for kind in events.type[at].tolist()]
        history = History(items, types, events.timestamp[at].tolist())
        return Request(history, Candidates(candidates), Context(ask.time), events.users[ask.user])

    def labelled(self, ask: Ask, rows: Rows, candidates: Sequence[str], number: int) -> LabelledRequest:
        """The request with its labels; `rows` are those of the candidates."""
        names = self.log.catalogue.item_ids
        truth = tuple(names[row] for row in ask.truth.tolist())
        labels: Floats = np.isin(rows, ask.truth).astype(np.float32)
        return LabelledRequest(self.request(ask, candidates), f"validation-{number}", labels, truth, "retriever")

    def validation_requests(self) -> list[LabelledRequest]:
        """A fixed sample of the validation, all items as candidates, for weights and early stopping."""
        return list(_AllItems(self, sample(self.validation, most_requests(len(self.log.catalogue)))))

    def over_all_items(self, data_hash: str) -> TrainingData:
        """What the rankers are fitted on, all items being the candidates of the validation."""
        data = self.training_data(self.validation_requests(), data_hash)
        return replace(data, more_validation=_AllItems(self, self.validation))

    def training_data(self, validation: list[LabelledRequest], data_hash: str) -> TrainingData:
        """What the rankers are fitted on."""
        events, items = self.log.events.where(self.training), len(self.log.catalogue)
        counts = np.bincount(events.item, minlength=items).astype(np.int64)
        complete = None if self.complete is None else self.log.events.where(self.complete)
        return TrainingData(replace(self.log.catalogue, train_events=counts), events, validation, data_hash, complete)

    def sequences(self) -> list[Rows]:
        """Rows of each user's training events that can be looked for (`Log.labels`), oldest first, where there are."""
        events = self.log.events.where(self.training & self.log.labels)
        cuts = np.flatnonzero(np.diff(events.user)) + 1
        return np.split(events.item.astype(np.int64), cuts) if len(events) else []


class _AllItems(Sequence[LabelledRequest]):
    """Requests of the validation with all items as candidates, each made when it is asked for."""

    def __init__(self, split: Split, asks: Sequence[Ask]) -> None:
        self._split, self._asks = split, asks
        self._names = np.asarray(split.log.catalogue.item_ids, dtype=object)
        self._everything = tuple(self._names)

    def __len__(self) -> int:
        return len(self._asks)

    @overload
    def __getitem__(self, at: int) -> LabelledRequest: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[LabelledRequest]: ...

    def __getitem__(self, at: int | slice) -> LabelledRequest | Sequence[LabelledRequest]:
        if isinstance(at, slice):
            return _AllItems(self._split, self._asks[at])
        rows = self._split.candidates(self._asks[at], validation=True)
        ids = self._everything if len(rows) == len(self._names) else tuple(self._names[rows])
        return self._split.labelled(self._asks[at], rows, ids, at)


def most_requests(items: int) -> int:
    """How many validation requests over all items are held at once."""
    return max(20, min(VALIDATION_REQUESTS, VALIDATION_CELLS // max(1, items)))


def sample(requests: Sequence[Drawn], most: int) -> list[Drawn]:
    """At most so many of the requests, drawn at random with a fixed seed, in their order."""
    if len(requests) <= most:
        return list(requests)
    chosen = np.random.default_rng(REQUESTS_SEED).choice(len(requests), most, replace=False)
    return [requests[at] for at in np.sort(chosen).tolist()]
