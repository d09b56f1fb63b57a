"""MRR and MAP: how far up the relevant items stand."""

from __future__ import annotations

import numpy as np

from liverank.evaluation.lists import Floats, RankedLists


def mrr(lists: RankedLists, k: int) -> Floats:
    """1 / rank of the first relevant item, 0 where the first `k` places hold none, NaN where nothing is relevant.

    `[requests]`; its mean is the mean reciprocal rank (Voorhees, 1999).
    """
    hits = lists.hits(k)
    reciprocal = hits / np.arange(1, hits.shape[1] + 1)
    return np.where(lists.relevant > 0, reciprocal.max(axis=1, initial=0.0), np.nan)


def average_precision(lists: RankedLists, k: int) -> Floats:
    """Mean of precision@r over the ranks r <= `k` of relevant items, over min(k, relevant items). `[requests]`.

    NaN where nothing is relevant; its mean is MAP@k. Relevant items that the candidates lack count as missed.
    """
    hits = lists.hits(k)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    earned = np.sum(precision * hits, axis=1)
    reachable = np.minimum(lists.relevant, k)
    return np.divide(earned, reachable, out=np.full(len(earned), np.nan), where=reachable > 0)
