"""The count ranker's weights, learned from training events alone: count the earlier ones, explain the latest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liverank.config.training import CountConfig
from liverank.ranking.count import PRIOR, CountRanker, segment
from liverank.ranking.data import Catalogue, EncodedRequest, Events, Floats, Rows
from liverank.ranking.listwise import learn_weights, to_lists
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.ranking.tfidf import TextVectors

HELD_OUT = 0.1
"""Share of the steps, the latest, that the weights are learned from."""
MOST_STEPS = 400
MOST_ITEMS = 3000
MOST_HISTORY = 10_000
"""Latest events of a user that are looked at: a user with a million of them would be counted anew for each step."""
CELLS_AT_ONCE = 2_000_000
"""Pairs of a request and an item whose signals are held at once: 64 MB."""
LEAST_STEPS = 20
STRENGTH = 10.0
_NOBODY = Request(History(), Candidates(()), Context(0.0))


def learned_from_events(catalogue: Catalogue, events: Events, config: CountConfig, text: TextVectors) -> Floats:
    """Weights of the signals, `[2, signals]`; the prior where the events are too few."""
    steps = events.steps()
    first = np.flatnonzero(np.diff(steps, prepend=-1))
    held_out = _latest(events.timestamp[first])
    if len(held_out) < LEAST_STEPS:
        return PRIOR
    cut = float(events.timestamp[first[held_out]].min())
    earlier = CountRanker.counted(catalogue, events.where(events.timestamp < cut), config, text, PRIOR, cut)
    requests, truths = zip(*(_request(events, steps, first, step) for step in held_out), strict=True)
    shown = _sampled_items(len(catalogue))
    return _learned(earlier, requests, truths, shown)


def _latest(times: npt.NDArray[np.float64]) -> Rows:
    """Indices of up to `MOST_STEPS` steps, evenly spread over the latest `HELD_OUT` share."""
    latest = np.argsort(times, kind="stable")[len(times) - int(len(times) * HELD_OUT) :]
    if len(latest) <= MOST_STEPS:
        return latest
    return latest[np.linspace(0, len(latest) - 1, MOST_STEPS).astype(np.int64)]


def _request(events: Events, steps: Rows, first: Rows, step: int) -> tuple[EncodedRequest, Rows]:
    """A user's state just before a step, and the items of that step that were liked."""
    start = first[step]
    end = first[step + 1] if step + 1 < len(first) else len(steps)
    user = np.searchsorted(events.user[:start], events.user[start])
    truth = np.unique(events.item[start:end][events.weight[start:end] > 0]).astype(np.int64)
    history = slice(max(int(user), int(start) - MOST_HISTORY), int(start))
    types = tuple(map(events.types.__getitem__, events.type[history].tolist()))
    back = steps[start] - 1 - steps[history]
    none = np.zeros(0, np.int64)
    return EncodedRequest(
        _NOBODY, events.item[history].astype(np.int64), types, events.timestamp[history], back, none
    ), truth


def _sampled_items(items: int) -> Rows:
    if items <= MOST_ITEMS:
        return np.arange(items)
    return np.sort(np.random.default_rng(0).choice(items, MOST_ITEMS, replace=False))


def _learned(
    ranker: CountRanker, requests: tuple[EncodedRequest, ...], truths: tuple[Rows, ...], shown: Rows
) -> Floats:
    weights = PRIOR.copy()
    at_once = max(1, CELLS_AT_ONCE // max(1, len(ranker.catalogue)))
    for group in (0, 1):
        chosen = [at for at, request in enumerate(requests) if segment(request) == group]
        if len(chosen) < LEAST_STEPS:
            continue
        signals, labels = [], []
        for start in range(0, len(chosen), at_once):
            part = chosen[start : start + at_once]
            for at, every in zip(part, ranker.all_signals([requests[at] for at in part]), strict=True):
                rows = np.union1d(shown, truths[at])
                signals.append(every[rows])
                labels.append(np.isin(rows, truths[at]).astype(np.float32))
        weights[group] = learn_weights(to_lists(signals, labels), PRIOR[group], STRENGTH)
    return weights
