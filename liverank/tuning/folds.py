"""Folds that chain forward in time: learn from what had arrived by then, be judged by what came next.

Each fold repeats what a training run and the days after it do: the rankers learn from the events that had arrived when
its window begins, the blend's weights and the epochs are chosen on the requests of the window's first half, and the
requests of its second half judge. A user's later events so never reach a model that is judged by that user's earlier
ones, whoever the users are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from liverank import columns as c
from liverank.config.training import CountConfig
from liverank.config.tuning import TuningConfig
from liverank.errors import DataError
from liverank.evaluation.lists import Lists
from liverank.evaluation.measure import RETRIEVER, lists_of
from liverank.ranking.data import Catalogue, LabelledRequest, Rows, TrainingData, load_catalogue, load_requests
from liverank.ranking.protocol import Candidates, Context, Request
from liverank.tuning.event_log import Baskets, EventLog

SMALL_CATALOGUE = 2000
"""Items up to which a request without a shown list ranks all of them."""
LEAST_JUDGED = 5
"""Judged requests with an answer below which a fold says nothing."""


@dataclass(frozen=True)
class Fold:
    """One window of time."""

    number: int
    train: TrainingData
    """What had arrived when the window begins, and the requests of its first half."""
    judged: list[LabelledRequest] = field(repr=False)
    """The requests of its second half."""
    train_until: float
    """Seconds since 1970, as all instants here."""
    validation_from: float
    judged_from: float
    judged_until: float

    @cached_property
    def lists(self) -> Lists:
        """The judged requests as metrics take them."""
        return lists_of(self.judged, self.train.catalogue)

    @property
    def users(self) -> list[str]:
        """User of each judged request."""
        return [labelled.request.user_id for labelled in self.judged]


@dataclass(frozen=True)
class ListSettings:
    """How the requests of a fold are made."""

    history_length: int
    candidates: int
    label_types: tuple[str, ...]
    retriever: CountConfig
    """Settings of the ranker that proposes candidates: the same for every trial, so that all rank the same lists."""


@dataclass(frozen=True)
class _Ask:
    """A request of the past, before it has candidates."""

    at: float
    request_id: str
    rows: Rows
    """Its positive answers in the log."""
    shown: LabelledRequest | None
    """The list that was shown, if any."""
    user: str


def load_folds(features: Path, settings: ListSettings, config: TuningConfig) -> list[Fold]:
    """The folds of a features folder's training time, earliest first; the last is for the best trial only.

    Raises:
        DataError: no features folder, or too few events or requests for so many folds.
    """
    log = EventLog.read(features)
    shown = [one for one in load_requests(features, c.TRAIN) if one.source != RETRIEVER]
    return make_folds(log, load_catalogue(features), shown, settings, config)


def make_folds(
    log: EventLog, catalogue: Catalogue, shown: Sequence[LabelledRequest], settings: ListSettings, config: TuningConfig
) -> list[Fold]:
    """As `load_folds`, from an event log, the catalogue and the training requests that were shown a list."""
    baskets = log.baskets(settings.label_types)
    times = np.sort([*map(_at, shown), *log.time[baskets.first].tolist()])
    if not len(times):
        raise _too_few("The training time holds no request")
    edges = _edges(times.tolist(), config)
    asks = _asks(log, shown, baskets, settings.label_types, edges[0])
    maker = _Maker(log, catalogue, settings, config)
    return [
        maker.fold(number, [ask for ask in asks if start <= ask.at < end], start, end)
        for number, (start, end) in enumerate(zip(edges, [*edges[1:], np.inf], strict=True))
    ]


def _asks(
    log: EventLog, shown: Sequence[LabelledRequest], baskets: Baskets, label_types: Sequence[str], since: float
) -> list[_Ask]:
    """The requests from `since` on, by time and id."""
    answers = log.answers(label_types)
    nothing = np.zeros(0, np.int64)
    asks = [
        _Ask(_at(one), one.request_id, answers.get(one.request_id, nothing), one, one.request.user_id)
        for one in shown
        if _at(one) >= since
    ]
    first = baskets.first
    for basket in np.flatnonzero(log.time[first] >= since).tolist():
        user, at = log.user(first[basket]), float(log.time[first[basket]])
        asks.append(_Ask(at, f"basket:{user}:{round(at * 1e6)}", baskets.of(basket), None, user))
    return sorted(asks, key=lambda ask: (ask.at, ask.request_id))


def _at(one: LabelledRequest) -> float:
    return one.request.context.timestamp


def _edges(times: Sequence[float], config: TuningConfig) -> list[float]:
    """Begin of each window; requests of one instant stay together."""
    windows = config.folds + 1
    size = max(1.0, config.window_share * len(times))
    edges = [times[max(0, round(len(times) - (windows - at) * size))] for at in range(windows)]
    if len(set(edges)) < windows or edges[0] <= times[0]:
        raise _too_few(f"{len(times)} requests are too few for {windows} windows of time")
    return edges


@dataclass(frozen=True)
class _Maker:
    """Makes the folds of one log."""

    log: EventLog
    catalogue: Catalogue
    settings: ListSettings
    config: TuningConfig

    def fold(self, number: int, asks: Sequence[_Ask], start: float, end: float) -> Fold:
        gap = self.config.gap_seconds
        middle = asks[len(asks) // 2].at
        until = start - gap
        events = self.log.known_before(self.catalogue, until)
        if not len(events):
            raise _too_few(f"Window {number + 1} has no event to learn from before it")
        counts = np.bincount(events.item, minlength=len(self.catalogue)).astype(np.int64)
        data = TrainingData(replace(self.catalogue, train_events=counts), events, [], self._name(until, start, middle))
        first = self._spread([ask for ask in asks if ask.at < middle - gap])
        second = self._spread([ask for ask in asks if ask.at >= middle])
        requests = self._requests(data, [*first, *second])
        # What is answered after the second half begins is not known yet when the weights are chosen.
        validation = [self._labelled(*pair, middle - gap) for pair in zip(first, requests[: len(first)], strict=True)]
        judged = [self._labelled(*pair, np.inf) for pair in zip(second, requests[len(first) :], strict=True)]
        if sum(bool(one.truth) for one in judged) < LEAST_JUDGED:
            raise _too_few(f"Window {number + 1} has fewer than {LEAST_JUDGED} answered requests that could judge")
        return Fold(number, replace(data, validation=validation), judged, until, start, middle, end)

    def _name(self, *instants: float) -> str:
        """Stands for the fold's data where a checkpoint asks what it was trained on."""
        told = f"{len(self.log)} {self.log.table.nbytes} {instants} {self.config.max_requests} {self.settings}"
        return hashlib.sha256(told.encode()).hexdigest()

    def _spread(self, asks: list[_Ask]) -> list[_Ask]:
        most = self.config.max_requests
        if len(asks) <= most:
            return asks
        return [asks[at] for at in np.linspace(0, len(asks) - 1, most).astype(int).tolist()]

    def _labelled(self, ask: _Ask, request: Request, known_until: float) -> LabelledRequest:
        truth = self.log.truth(ask.rows, known_until)
        labels = np.asarray([item in truth for item in request.candidates.item_ids], np.float32)
        return LabelledRequest(request, ask.request_id, labels, truth, ask.shown.source if ask.shown else RETRIEVER)

    def _requests(self, data: TrainingData, asks: Sequence[_Ask]) -> list[Request]:
        asked = [self._request(ask) for ask in asks]
        proposed = iter(self._proposed(data, [one for ask, one in zip(asks, asked, strict=True) if not ask.shown]))
        return [
            one if ask.shown else replace(one, candidates=Candidates(next(proposed)))
            for ask, one in zip(asks, asked, strict=True)
        ]

    def _request(self, ask: _Ask) -> Request:
        if ask.shown:
            return ask.shown.request
        history = self.log.history(ask.user, ask.at, self.settings.history_length)
        return Request(history, Candidates(()), Context(ask.at), ask.user)

    def _proposed(self, data: TrainingData, requests: Sequence[Request]) -> list[Sequence[str]]:
        """All items, or what a retriever proposes that has learned from the fold's training events alone."""
        if len(self.catalogue) <= SMALL_CATALOGUE or not requests:
            return [self.catalogue.item_ids] * len(requests)
        from liverank.ranking.count import CountRanker

        ranker = CountRanker.fit(data.catalogue, data.events, self.settings.retriever)
        return list(ranker.retrieve(requests, self.settings.candidates))


def _too_few(what: str) -> DataError:
    return DataError(
        f"{what}, so that there is nothing to tune on.",
        "Give more data, or set fewer tuning.folds or another tuning.window_share.",
    )
