"""Exposure: how much of the users' attention a ranking gives to whom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liverank.evaluation.lists import PADDING, Floats, Integers, RankedLists
from liverank.evaluation.metrics.gain import discounts


def place_exposure(lists: RankedLists, k: int) -> Floats:
    """`[requests, min(k, width)]`: exposure of each of the first `k` places, 0 past the end of a list.

    1 / log2(rank + 1), the position bias that Singh and Joachims (2018) take for the exposure of a rank.
    """
    top = lists.items[:, :k]
    return np.where(top != PADDING, discounts(top.shape[1]), 0.0)


def item_exposure(lists: RankedLists, k: int, codes: int) -> Floats:
    """`[codes]`: exposure of each item code summed over all lists."""
    listed = lists.items[:, :k] != PADDING
    return _summed(lists.items[:, :k][listed], place_exposure(lists, k)[listed], codes)


def group_exposure(lists: RankedLists, k: int, groups: Integers, count: int) -> Floats:
    """`[requests, count]`: exposure that each list gives to each group.

    Args:
        lists: the lists.
        k: places that are seen.
        groups: `[codes + 1]`: group of each item code, the last for codes past these.
        count: number of groups.
    """
    return _by_group(lists.items[:, :k], place_exposure(lists, k), groups, count)


def group_totals(lists: RankedLists, groups: Integers, count: int) -> tuple[Floats, Floats]:
    """`[requests, count]` twice: candidates of each group in the whole list, and relevant ones among them."""
    listed = (lists.items != PADDING).astype(np.float64)
    return _by_group(lists.items, listed, groups, count), _by_group(lists.items, lists.gains > 0, groups, count)


def _by_group(items: Integers, values: npt.NDArray[np.generic], groups: Integers, count: int) -> Floats:
    rows = np.arange(len(items))[:, None]
    cells = rows * count + groups[np.minimum(items, len(groups) - 1)]
    listed = items != PADDING
    return _summed(cells[listed], values[listed], len(items) * count).reshape(len(items), count)


def _summed(cells: Integers, values: npt.NDArray[np.generic], size: int) -> Floats:
    return np.asarray(np.bincount(cells, values.astype(np.float64), size), np.float64)


def gini(values: Floats) -> float:
    """Gini coefficient of non-negative values, `[items]`: 0 all equal, near 1 one holds all; NaN where all are 0.

    sum over i of (2 i - n - 1) x_i / (n sum x), x sorted upwards, i from 1 (Gini, 1912, in the form of Sen, 1973). Its
    largest value is (n - 1) / n.

    >>> gini(np.array([0.0, 0.0, 3.0]))
    0.6666666666666666
    """
    total = float(values.sum())
    if not total:
        return float("nan")
    ranks = 2 * np.arange(1, len(values) + 1) - len(values) - 1
    return float(np.clip(ranks @ np.sort(values) / (len(values) * total), 0.0, 1.0))


def lorenz(values: Floats, points: int = 21) -> list[float]:
    """Share of the total that the lowest 0 ... 100 % of the values hold (Lorenz, 1905), at evenly spaced shares."""
    total = float(values.sum())
    if not total:
        return [0.0] * points
    held = np.concatenate([[0.0], np.cumsum(np.sort(values))]) / total
    return [float(share) for share in np.interp(np.linspace(0, len(values), points), np.arange(len(held)), held)]
