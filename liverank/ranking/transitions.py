"""Counts of what follows what: windowed transitions between the steps of each user, in one sparse matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.config.training import CountConfig
from liverank.ranking.data import Events

SECONDS_PER_DAY = 86400.0


def decay(age_seconds: npt.NDArray[np.float64], half_life_days: float) -> npt.NDArray[np.float32]:
    """Weight of something that old: 1 now, 1/2 after each half-life."""
    return np.exp2(-age_seconds / (half_life_days * SECONDS_PER_DAY)).astype(np.float32)


def step_matrix(events: Events, items: int) -> tuple[Any, npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Steps as rows: `[steps, items]` CSR of evidence, the user of each step, its time in seconds.

    A step is a user's events of one timestamp. Evidence against (negative weights) is left out; the same item twice in
    one step counts once.
    """
    from scipy.sparse import csr_matrix

    steps = events.steps()
    count = int(steps[-1]) + 1 if len(steps) else 0
    first = np.searchsorted(steps, np.arange(count))
    positive = events.weight > 0
    values = np.ones(int(positive.sum()), np.float32)
    matrix = csr_matrix((values, (steps[positive], events.item[positive])), shape=(count, items))
    matrix.sum_duplicates()
    matrix.data = _strongest(matrix, steps[positive], events.item[positive], events.weight[positive])
    return matrix, events.user[first], events.timestamp[first]


def _strongest(matrix: Any, steps: Any, item: Any, weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if not len(weight):
        return np.zeros(0, np.float32)
    keys = steps.astype(np.int64) * matrix.shape[1] + item
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    strongest = np.maximum.reduceat(weight[order], starts)
    scaled: npt.NDArray[np.float32] = (strongest / weight.max()).astype(np.float32)
    return scaled


def transition_counts(events: Events, items: int, config: CountConfig, now: float) -> Any:
    """Decayed counts of i followed by j at most `window` steps later, `[items, items]` CSR.

    A pair d steps apart counts 1/d; two items of one step count `basket_weight` both ways. Pairs of large steps are
    damped by the square root of the steps' sizes, so that one huge basket does not outweigh a hundred small ones.
    """
    from scipy.sparse import csr_matrix, diags

    matrix, user, time = step_matrix(events, items)
    sizes = np.maximum(np.diff(matrix.indptr), 1)
    damped = diags((1 / np.sqrt(sizes)).astype(np.float32)) @ matrix
    recency = decay(now - time, config.half_life_days)
    counts = csr_matrix((items, items), dtype=np.float32)
    if sizes.size and sizes.max() > 1 and config.basket_weight > 0:
        counts = counts + config.basket_weight * (damped.T @ (diags(recency) @ damped))
    for distance in range(1, min(config.window, len(user) - 1) + 1):
        from_step = np.flatnonzero(user[distance:] == user[:-distance])
        target = damped[from_step + distance]
        weight = diags(recency[from_step + distance] / np.float32(distance))
        counts = counts + damped[from_step].T @ (weight @ target)
    counts = csr_matrix(counts, dtype=np.float32)
    counts.setdiag(0)  # coming back to an item is a signal of its own
    counts.eliminate_zeros()
    return counts


def decayed_popularity(events: Events, items: int, half_life_days: float, now: float) -> npt.NDArray[np.float32]:
    """Positive evidence for each item, the heaviest event as 1, halved every `half_life_days`, `[items]`."""
    heaviest = float(events.weight.max(initial=0)) or 1.0
    weight = np.maximum(events.weight, 0) / heaviest * decay(now - events.timestamp, half_life_days)
    return np.bincount(events.item, weight, items).astype(np.float32)


def normalised(counts: Any, popularity: npt.NDArray[np.float32], power: float, most: int) -> Any:
    """T[i, j] / (sqrt(row sum) * popularity_j ** power), the strongest `most` of each row, `[items, items]` CSR."""
    from scipy.sparse import diags

    row = np.sqrt(np.asarray(counts.sum(axis=1)).ravel())
    left = diags(np.divide(1, row, out=np.zeros_like(row), where=row > 0))
    right = diags(np.where(popularity > 0, np.maximum(popularity, 1e-6) ** -power, 0))
    scaled = (left @ counts @ right).tocsr().astype(np.float32)
    return strongest_of_rows(scaled, most)


def strongest_of_rows(matrix: Any, most: int) -> Any:
    """The `most` largest entries of each row, columns sorted."""
    from scipy.sparse import csr_matrix

    keep = []
    for row in range(matrix.shape[0]):
        start, end = matrix.indptr[row], matrix.indptr[row + 1]
        at = np.arange(start, end)
        if end - start > most:
            at = start + np.sort(np.argpartition(-matrix.data[start:end], most)[:most])
        keep.append(at)
    sizes = [len(at) for at in keep]
    chosen = np.concatenate(keep).astype(np.int64) if keep else np.zeros(0, np.int64)
    pointers = np.concatenate([[0], np.cumsum(sizes)])
    small = csr_matrix((matrix.data[chosen], matrix.indices[chosen], pointers), shape=matrix.shape)
    small.sort_indices()
    return small
