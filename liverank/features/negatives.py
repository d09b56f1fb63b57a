"""Items that a user did not want, for training: drawn by popularity, and from what goes with the history.

Every draw is a hash of (seed, request, slot, attempt): the same data give the same negatives on every machine and
engine, and another request changes none of them. `log_q` is the logarithm of the probability with which an item is
drawn, for losses that correct for it (Yi et al.: Sampling-bias-corrected neural modeling, RecSys 2019).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

POPULAR: Final = "popular"
HARD: Final = "hard"
ATTEMPTS: Final = 50
"""Draws of a slot before it stays empty: a positive is drawn again."""
POOL: Final = 100
"""Nearest items of a history that hard negatives are drawn from."""
Rows = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Negatives:
    """Drawn items, sorted by request and slot: `[drawn]` each."""

    request: Rows
    """Index of the request."""
    item: Rows
    """Row of the catalogue."""
    log_q: Doubles


def mixed(*numbers: int | Rows) -> npt.NDArray[np.uint64]:
    """A hash of whole numbers, uniform over 64 bits (the finaliser of SplitMix64: Steele, Lea, Flood, OOPSLA 2014)."""
    state = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):
        for number in numbers:
            state = state + np.asarray(number, np.int64).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


def uniform(*numbers: int | Rows) -> Doubles:
    """The hash as a number in [0, 1)."""
    return (mixed(*numbers) >> np.uint64(11)).astype(np.float64) / 2.0**53


def drawing_probabilities(train_events: Rows, power: float) -> Doubles:
    """Each item's probability: its training events to the `power`, over the sum; power 0 draws evenly, `[items]`.

    Items without a training event are not drawn, unless there is no other.
    """
    weight = np.where(train_events > 0, np.maximum(train_events, 1).astype(np.float64) ** power, 0.0)
    weight = weight if weight.any() else np.ones(len(train_events))
    return weight / weight.sum() if len(weight) else weight


def popular_negatives(
    requests: Rows, positives: Sequence[Collection[int]], probability: Doubles, count: int, seed: int
) -> Negatives:
    """`count` items for each request by their probability, with replacement; never one of its positives.

    A slot whose `ATTEMPTS` draws were all positives stays empty.

    Args:
        requests: a number that stays with each request, `[requests]`.
        positives: rows of the items that each request's user wanted.
        probability: `drawing_probabilities`.
        count: slots of a request.
        seed: the seed of all draws.
    """
    item = np.full((len(requests), count), -1, np.int64)
    if not len(probability):
        return _filled(item, probability)
    upper = np.cumsum(probability)
    wanted = [frozenset(rows) for rows in positives]
    for attempt in range(ATTEMPTS):
        row, slot = np.nonzero(item < 0)
        if not len(row):
            break
        drawn = np.searchsorted(upper, uniform(seed, requests[row], slot, attempt) * upper[-1], side="right")
        drawn = np.minimum(drawn, len(upper) - 1)
        kept = [one not in wanted[of] for of, one in zip(row.tolist(), drawn.tolist(), strict=True)]
        item[row[kept], slot[kept]] = drawn[kept]
    return _filled(item, probability)


def _filled(item: Rows, probability: Doubles) -> Negatives:
    request, slot = np.nonzero(item >= 0)
    found = item[request, slot]
    return Negatives(request, found, np.log(probability[found]))


def hard_negatives(
    requests: Rows, positives: Sequence[Collection[int]], pools: Sequence[Sequence[int]], count: int, seed: int
) -> Negatives:
    """Up to `count` different items of each request's pool, evenly drawn; never one of its positives.

    Args:
        requests: a number that stays with each request, `[requests]`.
        positives: rows of the items that each request's user wanted.
        pools: rows of the items that go with each history, the nearest first.
        count: most negatives of a request.
        seed: the seed of all draws.
    """
    request: list[int] = []
    item: list[int] = []
    log_q: list[float] = []
    for at, (number, wanted, pool) in enumerate(zip(requests.tolist(), positives, pools, strict=True)):
        rows = [row for row in pool if row not in wanted][:POOL]
        if not rows or not count:
            continue
        order = np.argsort(mixed(seed + 1, number, np.asarray(rows, np.int64)), kind="stable")[:count]
        request += [at] * len(order)
        item += [rows[place] for place in order]
        log_q += [float(np.log(len(order) / len(rows)))] * len(order)
    return Negatives(np.asarray(request, np.int64), np.asarray(item, np.int64), np.asarray(log_q, np.float64))


def nearest(rows: npt.NDArray[np.int32], values: npt.NDArray[np.int32], history: Rows) -> list[int]:
    """Items that go with a history, the nearest first.

    Args:
        rows: neighbours of each item, -1 where no more, `[items, n]`.
        values: how near, `[items, n]`.
        history: rows of the history's items.
    """
    known = history[history >= 0]
    near, weight = rows[known].ravel(), values[known].ravel().astype(np.int64)
    items, inverse = np.unique(near[near >= 0], return_inverse=True)
    total = np.bincount(inverse, weight[near >= 0], len(items))
    return [int(row) for row in items[np.lexsort((items, -total))]]
