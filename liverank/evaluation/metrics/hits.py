"""Hit rate, recall and precision: how many relevant items the top holds, wherever in it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liverank.evaluation.lists import Floats, RankedLists


def hit_rate(lists: RankedLists, k: int) -> Floats:
    """1 where the first `k` places hold a relevant item, else 0; NaN where nothing is relevant. `[requests]`."""
    return _judged(lists, lists.hits(k).any(axis=1))


def recall(lists: RankedLists, k: int) -> Floats:
    """Share of the relevant items, also of those the candidates lack, that the first `k` places hold. `[requests]`.

    NaN where nothing is relevant. With more than `k` relevant items it cannot reach 1.
    """
    return _judged(lists, lists.hits(k).sum(axis=1) / np.maximum(lists.relevant, 1))


def precision(lists: RankedLists, k: int) -> Floats:
    """Relevant items in the first `k` places, divided by `k` also where the list is shorter. `[requests]`.

    NaN where nothing is relevant, so that all ranking metrics are means over the same requests.
    """
    return _judged(lists, lists.hits(k).sum(axis=1) / k)


def _judged(lists: RankedLists, values: npt.ArrayLike) -> Floats:
    return np.where(lists.relevant > 0, values, np.nan)
