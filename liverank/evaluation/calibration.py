"""Calibration of a ranker's scores as probabilities within a list.

A list-wise softmax learns P(candidate | list, an answer): a score is a log-probability up to a constant of its list.
Calibrated means: of the candidates given 10 %, a tenth is the answer, among lists that were answered. It is no click
rate: whether a list is answered the model does not say, and ranking does not need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.lists import Floats, Integers
from liverank.evaluation.metrics.probability import (
    AnsweredLists,
    answered_lists,
    best_temperature,
    brier,
    calibration_error,
    equal_mass_bins,
    log_loss,
    probabilities,
)
from liverank.ranking.data import LabelledRequest
from liverank.ranking.protocol import Scores

BINS = 15
"""As in Guo et al., 2017."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Candidates of like probability."""

    candidates: int
    probability: float
    """Mean of what the model says."""
    answered: Interval
    """Share of the answers they really got."""


@dataclass(frozen=True)
class Quality:
    """How good the probabilities are at one temperature."""

    ece: float
    """Expected calibration error of a candidate."""
    ece_per_list: float
    """The same summed over a list of mean length, so that lists of any length compare: 0..2, of one answer."""
    brier: Interval
    log_loss: Interval
    """Nats."""


@dataclass(frozen=True)
class Calibration:
    """A ranker's scores as probabilities, on lists with an answer and another candidate."""

    ranker: str
    lists: int
    candidates: int
    as_scored: Quality
    temperature: float
    """What the scores should be divided by: fitted on these very lists, so a little flattered."""
    at_temperature: Quality
    uniform_brier: float
    """Of equal probabilities: what must be beaten."""
    uniform_log_loss: float
    bins: list[ReliabilityBin]


def find_calibration(
    ranker: str, requests: Sequence[LabelledRequest], scores: Sequence[Scores], bootstrap: Bootstrap
) -> Calibration | None:
    """Judges the softmax of `scores`, `[candidates]` a request; None where no list has an answer."""
    lists, kept = answered_lists(scores, [labelled.labels for labelled in requests])
    if not len(lists):
        return None
    mask = np.zeros(len(requests), dtype=bool)
    mask[kept] = True
    bootstrap = bootstrap.of(mask)
    probability, temperature = probabilities(lists), best_temperature(lists)
    uniform = AnsweredLists(np.zeros(len(lists.scores)), lists.target, lists.starts)
    return Calibration(
        ranker=ranker,
        lists=len(lists),
        candidates=len(lists.scores),
        as_scored=_quality(lists, 1.0, bootstrap),
        temperature=temperature,
        at_temperature=_quality(lists, temperature, bootstrap),
        uniform_brier=float(brier(uniform, probabilities(uniform)).mean()),
        uniform_log_loss=float(log_loss(uniform).mean()),
        bins=_reliability(lists, probability, equal_mass_bins(probability, BINS), bootstrap),
    )


def _quality(lists: AnsweredLists, temperature: float, bootstrap: Bootstrap) -> Quality:
    probability = probabilities(lists, temperature)
    error = calibration_error(probability, lists.target, equal_mass_bins(probability, BINS))
    losses = np.column_stack([brier(lists, probability), log_loss(lists, temperature)])
    spread, loss = bootstrap.intervals(losses)
    return Quality(error, error * len(probability) / len(lists), spread, loss)


def _reliability(
    lists: AnsweredLists, probability: Floats, bins: Integers, bootstrap: Bootstrap
) -> list[ReliabilityBin]:
    count = int(bins.max()) + 1
    cells = lists.lists * count + bins
    answered, rows = (
        np.asarray(np.bincount(cells, weights, len(lists) * count), np.float64).reshape(len(lists), count)
        for weights in (lists.target, np.ones(len(bins)))
    )
    shares = bootstrap.ratios(answered, rows)
    sizes, said = np.bincount(bins, minlength=count), np.bincount(bins, probability, count)
    return [ReliabilityBin(int(sizes[at]), float(said[at] / sizes[at]), shares[at]) for at in range(count) if sizes[at]]
