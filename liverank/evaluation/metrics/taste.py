"""Category calibration: whether a list keeps the mixture of what its user had before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liverank.evaluation.lists import PADDING, Floats, Integers, RankedLists

SMOOTHING = 0.01
"""Share of the history's mixture that is mixed into the list's, so that a category which the list lacks costs much, not
infinitely much: the alpha of Steck, 2018."""
REQUESTS_AT_ONCE = 256
"""Bounds memory: requests x categories float64."""


def category_calibration(
    lists: RankedLists, k: int, categories: Integers, count: int, histories: Sequence[Integers]
) -> Floats:
    """KL divergence in nats between the categories of the history and of the first `k` places, `[requests]`.

    sum over categories g of p(g) ln(p(g) / q(g)), p the history's shares, q = 0.99 of the list's + 0.01 p (Steck, 2018,
    "Calibrated recommendations", equation 6). 0: the same mixture; at most ln 100 = 4.6. NaN where the history or the
    places hold no item with a category.

    Args:
        lists: the lists.
        k: places judged.
        categories: `[catalogue items + 1]`: category of each item, -1 for none; the last for items past the catalogue.
        count: number of categories.
        histories: `[events]` rows of each user's known items.
    """
    parts = [
        _divergence(
            _shares([categories[rows] for rows in histories[start : start + REQUESTS_AT_ONCE]], count),
            _shares(_listed(lists.items[start : start + REQUESTS_AT_ONCE, :k], categories), count),
        )
        for start in range(0, len(lists.items), REQUESTS_AT_ONCE)
    ]
    return np.concatenate([*parts, np.empty(0)])


def _listed(top: Integers, categories: Integers) -> list[Integers]:
    codes = categories[np.minimum(top, len(categories) - 1)]
    return [row[items != PADDING] for row, items in zip(codes, top, strict=True)]


def _shares(codes: Sequence[Integers], count: int) -> Floats:
    """`[requests, count]`: share of each category among the items that have one; NaN where none has."""
    counts = np.array([np.bincount(row[row >= 0], minlength=count) for row in codes], float).reshape(-1, count)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)


def _divergence(history: Floats, top: Floats) -> Floats:
    mixed = (1 - SMOOTHING) * top + SMOOTHING * history
    held = ~(history <= 0)  # NaN stays, and makes the sum NaN
    ratio = np.divide(history, mixed, out=np.ones(history.shape), where=held)
    kl = np.sum(np.where(held, history * np.log(ratio), 0.0), axis=1)
    return np.where(np.isnan(top).any(axis=1), np.nan, np.maximum(kl, 0.0))
