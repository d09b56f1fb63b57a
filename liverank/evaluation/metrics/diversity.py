"""Diversity: how different the items at the top of one list are from each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liverank.evaluation.lists import PADDING, Floats, RankedLists

REQUESTS_AT_ONCE = 256
"""Bounds the memory of the gathered embeddings: requests x k x dimensions float64."""


def diversity(lists: RankedLists, k: int, embeddings: npt.NDArray[np.floating]) -> Floats:
    """Mean cosine distance (1 - cosine) over the pairs of items in the first `k` places, `[requests]`, in 0..2.

    The intra-list distance of Ziegler et al., 2005. For unit vectors the mean over pairs follows from the length of
    their sum, so that no pair is formed. NaN where fewer than two of the places hold an item with an embedding.

    Args:
        lists: the lists.
        k: places judged.
        embeddings: `[catalogue items, dimensions]`, of any length; a row of zeros is an item without one.
    """
    unit = _unit(np.asarray(embeddings, dtype=np.float64))
    parts = [
        _distance(lists.items[start : start + REQUESTS_AT_ONCE, :k], unit)
        for start in range(0, len(lists.items), REQUESTS_AT_ONCE)
    ]
    return np.concatenate([*parts, np.empty(0)])


def _unit(embeddings: Floats) -> Floats:
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = np.divide(embeddings, length, out=np.zeros_like(embeddings), where=length > 0)
    # The last row stands for padding and for items past the catalogue.
    return np.vstack([unit, np.zeros((1, embeddings.shape[1]))])


def _distance(top: npt.NDArray[np.int64], unit: Floats) -> Floats:
    none = len(unit) - 1
    vectors = unit[np.where(top == PADDING, none, np.minimum(top, none))]
    known = np.any(vectors != 0, axis=2).sum(axis=1)
    total = np.square(vectors.sum(axis=1)).sum(axis=1)
    pairs = known * (known - 1)
    cosine = np.divide(total - known, pairs, out=np.full(len(top), np.nan), where=pairs > 0)
    return np.clip(1.0 - cosine, 0.0, 2.0)
