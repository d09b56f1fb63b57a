"""Popularity bias: whether a ranking drifts to what everybody has anyway."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liverank.evaluation.lists import PADDING, Floats, Integers, RankedLists


def popularity(lists: RankedLists, k: int, train_events: Integers) -> Floats:
    """Mean training events of the items in the first `k` places, `[requests]`; NaN for an empty list.

    Its mean over requests is the average recommendation popularity, ARP (Yin et al., 2012). `train_events` is
    `[catalogue items]`; an item past the catalogue has none.
    """
    return _mean_of_top(lists, k, np.append(train_events, 0).astype(np.float64))


def long_tail(lists: RankedLists, k: int, head: npt.NDArray[np.bool_]) -> Floats:
    """Share of the items in the first `k` places that are not of the head, `[requests]`; NaN for an empty list.

    `head` is `[catalogue items]` (`head_of`); an item past the catalogue is of the tail (APLT of Abdollahpouri et al.,
    2019).
    """
    return _mean_of_top(lists, k, np.append(~head, True).astype(np.float64))


def head_of(train_events: Integers, share: float) -> npt.NDArray[np.bool_]:
    """`[items]`: the `share` of the items that has the most training events; equal counts in the catalogue's order.

    >>> head_of(np.array([1, 9, 3, 3, 0]), 0.4).tolist()
    [False, True, True, False, False]
    """
    head = np.zeros(len(train_events), dtype=bool)
    head[np.argsort(-train_events, kind="stable")[: round(share * len(train_events))]] = True
    return head


def _mean_of_top(lists: RankedLists, k: int, values: Floats) -> Floats:
    top = lists.items[:, :k]
    listed = top != PADDING
    places = listed.sum(axis=1)
    total = np.sum(np.where(listed, values[np.minimum(top, len(values) - 1)], 0.0), axis=1)
    return np.divide(total, places, out=np.full(len(top), np.nan), where=places > 0)
