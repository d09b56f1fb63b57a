"""AUC: how well a whole list separates relevant from other candidates."""

from __future__ import annotations

import numpy as np

from liverank.evaluation.lists import PADDING, Floats, RankedLists


def auc(lists: RankedLists) -> Floats:
    """Share of (relevant, other) pairs of candidates in the right order, `[requests]`, over the whole list.

    The Mann-Whitney form: U / (relevant x other). Pairs with equal scores count by the order they are served in, not
    half. NaN where the list holds no relevant or no other candidate; relevant items that the list lacks play no part.
    """
    listed = lists.items != PADDING
    hits = lists.gains > 0
    others = listed & ~hits
    below = others.sum(axis=1, keepdims=True) - np.cumsum(others, axis=1)
    pairs = hits.sum(axis=1) * others.sum(axis=1)
    return np.divide(np.sum(below * hits, axis=1), pairs, out=np.full(len(hits), np.nan), where=pairs > 0)
