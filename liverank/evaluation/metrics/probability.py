"""Scores as probabilities: what a list-wise softmax says of each candidate, against what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liverank.evaluation.lists import Floats, Integers

LARGEST_EXPONENT = 6.0
"""Temperatures are sought between e**-6 and e**6."""


@dataclass(frozen=True)
class AnsweredLists:
    """Lists with an answer, end to end: rows are candidates."""

    scores: Floats
    """`[rows]`."""
    target: Floats
    """Share of each candidate in its list's answers, sums to 1 a list, `[rows]`."""
    starts: Integers
    """First row of each list, `[lists]`."""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def sizes(self) -> Integers:
        """Candidates of each list."""
        return np.diff(np.append(self.starts, len(self.scores)))

    @property
    def lists(self) -> Integers:
        """The list of each row."""
        return np.repeat(np.arange(len(self)), self.sizes)


def answered_lists(
    scores: Sequence[npt.NDArray[np.floating]], labels: Sequence[npt.NDArray[np.floating]]
) -> tuple[AnsweredLists, Integers]:
    """The lists that hold an answer and another candidate, and which of all these are, `[lists]`.

    A list with several answers counts each as an equal part of one: the model says which candidate an answer falls on.
    """
    kept = [at for at, label in enumerate(labels) if 0 < np.count_nonzero(label > 0) < len(label)]
    positive = [np.asarray(labels[at] > 0, np.float64) for at in kept]
    sizes = np.array([len(one) for one in positive], np.int64)
    return AnsweredLists(
        np.concatenate([*[np.asarray(scores[at], np.float64) for at in kept], np.empty(0)]),
        np.concatenate([*[one / one.sum() for one in positive], np.empty(0)]),
        np.cumsum(sizes) - sizes,
    ), np.array(kept, np.int64)


def probabilities(lists: AnsweredLists, temperature: float = 1.0) -> Floats:
    """`[rows]`: softmax of scores / temperature within each list (Luce, 1959; Plackett, 1975)."""
    return np.exp(_log_probabilities(lists, temperature))


def _log_probabilities(lists: AnsweredLists, temperature: float) -> Floats:
    if not len(lists):
        return np.empty(0)
    scaled = lists.scores / temperature
    shifted = scaled - np.repeat(np.maximum.reduceat(scaled, lists.starts), lists.sizes)
    return shifted - np.repeat(np.log(np.add.reduceat(np.exp(shifted), lists.starts)), lists.sizes)


def log_loss(lists: AnsweredLists, temperature: float = 1.0) -> Floats:
    """`[lists]`: cross-entropy in nats of the answers under the softmax; ln(candidates) for a list of equal scores."""
    if not len(lists):
        return np.empty(0)
    return -np.add.reduceat(lists.target * _log_probabilities(lists, temperature), lists.starts)


def brier(lists: AnsweredLists, probability: Floats) -> Floats:
    """`[lists]`: sum over the candidates of (probability - target)^2, in 0..2 (Brier, 1950)."""
    return np.add.reduceat((probability - lists.target) ** 2, lists.starts) if len(lists) else np.empty(0)


def equal_mass_bins(probability: Floats, bins: int) -> Integers:
    """`[rows]`: bin of each probability, from 0: as many rows in each as equal values allow, which stay together."""
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)[1:-1])) if len(probability) else np.empty(0)
    return np.searchsorted(edges, probability, side="right").astype(np.int64)


def calibration_error(probability: Floats, target: Floats, bins: Integers) -> float:
    """Expected calibration error: sum over bins of rows / all rows * |mean probability - mean target|, in 0..1.

    With bins of equal mass, as in Nguyen and O'Connor (2015): most candidates are improbable, and bins of equal width
    would hold them all in the first. NaN without a row.
    """
    if not len(probability):
        return float("nan")
    return float(np.abs(np.bincount(bins, probability - target)).sum() / len(probability))


def best_temperature(lists: AnsweredLists) -> float:
    """The temperature at which the answers are most probable (Guo et al., 2017); NaN without a list.

    The log loss is convex in 1 / temperature, so the search finds the optimum. Above 1: the scores are too sure; below:
    too timid. Scores without any bearing on the answers end at the largest, e**6.
    """
    from scipy.optimize import minimize_scalar

    if not len(lists):
        return float("nan")

    def loss(exponent: float) -> float:
        return float(log_loss(lists, float(np.exp(exponent))).mean())

    limits = (-LARGEST_EXPONENT, LARGEST_EXPONENT)
    return float(np.exp(minimize_scalar(loss, bounds=limits, method="bounded", options={"xatol": 1e-4}).x))
