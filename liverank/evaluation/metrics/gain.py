"""NDCG: how near a list comes to the best one possible."""

from __future__ import annotations

import numpy as np

from liverank.evaluation.lists import Floats, RankedLists


def discounts(places: int) -> Floats:
    """`[places]`: 1 / log2(rank + 1), ranks from 1."""
    return 1.0 / np.log2(np.arange(2, places + 2))


def ndcg(lists: RankedLists, k: int) -> Floats:
    """Normalised discounted cumulative gain at `k`, `[requests]`, in 0..1; NaN where nothing is relevant.

    DCG@k = sum over ranks r <= k of gain(r) / log2(r + 1), divided by that of the ideal list (Järvelin and Kekäläinen,
    2002, with linear gain). The ideal list holds every relevant item, also those that the candidates lack, and is
    not cut to the list's length: a list with fewer than `k` places is judged as it is.

    >>> from liverank.evaluation.lists import build_lists
    >>> lists = build_lists([["a", "b", "c"]], [np.array([0.0, 1.0, 0.0])], [[]], {})
    >>> ndcg(lists.ranked([np.array([3.0, 2.0, 1.0])]), 10).round(4).tolist()
    [0.6309]
    """
    best = _dcg(lists.ideal[:, :k])
    return np.divide(_dcg(lists.gains[:, :k]), best, out=np.full(len(best), np.nan), where=best > 0)


def _dcg(gains: Floats) -> Floats:
    return gains @ discounts(gains.shape[1])
