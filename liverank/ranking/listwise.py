"""Weights of signals learned from labelled lists: a regularised listwise softmax, solved to its optimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
BEST: Final = 400
DRAWN: Final = 200
"""Candidates of a long list that weights are learned on, the best ones and those drawn from the rest."""


class NotFiniteError(ValueError):
    """Scores that say nothing: NaN stands before and after everything."""


@dataclass(frozen=True)
class Lists:
    """Many lists end to end: rows are candidates."""

    signals: Floats
    """`[rows, signals]`."""
    target: Floats
    """Share of each row in its list's positives, sums to 1 a list, `[rows]`."""
    starts: npt.NDArray[np.int64]
    """First row of each list, `[lists]`."""
    log_stands: Floats
    """Log of how many candidates each row stands for, `[rows]`; 0 where all candidates are there."""

    def __len__(self) -> int:
        return len(self.starts)


def thinned(scores: Floats, label: Floats) -> tuple[Rows, Floats]:
    """Candidates that stand for all of a long list, and the log of how many each stands for, `[kept]` both.

    The positives and the best by `scores` stand for themselves, some that are drawn from the rest for the rest of it:
    what hardly anything is expected of need not all be looked at.
    """
    if len(scores) <= BEST + DRAWN:
        return np.arange(len(scores)), np.zeros(len(scores), np.float32)
    own = label > 0
    own[np.argpartition(-scores, BEST)[:BEST]] = True
    rest = np.flatnonzero(~own)
    drawn = np.random.default_rng(len(scores)).choice(rest, min(DRAWN, len(rest)), replace=False)
    stands = np.zeros(len(scores), np.float32)
    stands[drawn] = np.log(len(rest) / max(1, len(drawn)))
    kept = np.flatnonzero(own | np.isin(np.arange(len(scores)), drawn))
    return kept, stands[kept]


def to_lists(signals: Sequence[Floats], labels: Sequence[Floats], stands: Sequence[Floats] | None = None) -> Lists:
    """Stacks the lists that can teach something: those with a positive and a non-positive.

    Args:
        signals: `[candidates, signals]` of each list.
        labels: above 0 where positive, `[candidates]` of each list.
        stands: log of how many candidates each stands for (`thinned`), 0 for positives; None: each for itself.
    """
    kept = [at for at, label in enumerate(labels) if 0 < np.count_nonzero(label > 0) < len(label)]
    width = signals[0].shape[1] if signals else 0
    if not kept:
        nothing = np.zeros(0, np.float32)
        return Lists(np.zeros((0, width), np.float32), nothing, np.zeros(0, np.int64), nothing)
    positive = [np.maximum(labels[at], 0) for at in kept]
    target = np.concatenate([label / label.sum() for label in positive]).astype(np.float32)
    sizes = np.asarray([len(label) for label in positive])
    stood = np.concatenate([stands[at] for at in kept]) if stands else np.zeros(len(target), np.float32)
    return Lists(np.concatenate([signals[at] for at in kept]), target, np.cumsum(sizes) - sizes, stood)


def learn_weights(lists: Lists, prior: Floats, strength: float) -> Floats:
    """Weights w that minimise mean cross-entropy(target, softmax(signals @ w)) + strength / lists * |w - prior|^2.

    The penalty counts as much as `strength` lists do, so that few lists move the weights little. `[signals]`.
    """
    from scipy.optimize import minimize

    start = prior.astype(np.float64)
    if not len(lists):
        return prior.astype(np.float32)
    best = minimize(_loss, start, args=(lists, start, strength), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(best.x, np.float32)


def _loss(weights: npt.NDArray[np.float64], lists: Lists, prior: Any, strength: float) -> tuple[float, Any]:
    scores = (lists.signals @ weights.astype(np.float32) + lists.log_stands).astype(np.float64)
    sizes = np.diff(np.append(lists.starts, len(scores)))
    shifted = scores - np.repeat(np.maximum.reduceat(scores, lists.starts), sizes)
    total = np.add.reduceat(np.exp(shifted), lists.starts)
    log_probability = shifted - np.repeat(np.log(total), sizes)
    residual = (np.exp(log_probability) - lists.target).astype(np.float32)
    count, away = len(lists), weights - prior
    loss = -float(lists.target @ log_probability) / count + strength / count * float(away @ away)
    gradient = (residual @ lists.signals).astype(np.float64) / count + 2 * strength / count * away
    return loss, gradient


def mean_ndcg(scores: Sequence[Floats], labels: Sequence[Floats], k: int = 10) -> float:
    """Mean NDCG@k of lists with a positive, binary gains; 0 where there is no such list.

    Equal scores count as their mean over all orders (McSherry and Najork, 2008, Computing Information Retrieval
    Performance Measures Efficiently in the Presence of Tied Scores): a signal that says nothing is worth as much as
    chance, not as much as the order in which the list came.

    Raises:
        NotFiniteError: a score is NaN.
    """
    values = list_ndcg(scores, labels, k)
    return float(np.mean(values)) if len(values) else 0.0


def list_ndcg(scores: Sequence[Floats], labels: Sequence[Floats], k: int = 10) -> npt.NDArray[np.float64]:
    """NDCG@k of each list with a positive, as `mean_ndcg` counts it, `[lists with a positive]`.

    Raises:
        NotFiniteError: a score is NaN.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    values = []
    for score, label in zip(scores, labels, strict=True):
        relevant = label > 0
        if np.isnan(score).any():
            raise NotFiniteError("a score is NaN")
        if relevant.any():
            order = np.argsort(-score, kind="stable")
            gain = float(relevant[order] @ _tied(score[order], discounts))
            values.append(gain / float(discounts[: min(k, relevant.sum())].sum()))
    return np.asarray(values)


def _tied(ordered: Floats, discounts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The discount of each place of a sorted list, equal scores sharing theirs, `[candidates]`."""
    places = np.zeros(len(ordered))
    top = min(len(discounts), len(ordered))
    places[:top] = discounts[:top]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    sizes = np.diff(np.append(starts, len(ordered)))
    return cast("npt.NDArray[np.float64]", np.repeat(np.add.reduceat(places, starts) / sizes, sizes))
