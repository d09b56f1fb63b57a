"""Counts of what follows what: windowed transitions between the steps of each user, a bounded part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank.config.training import CountConfig
from liverank.ranking.data import Events, Rows
from liverank.ranking.sparse import largest_of_rows, strongest_of_rows

SECONDS_PER_DAY = 86400.0
PAIRS_AT_ONCE: Final = 2_000_000
"""Pairs of events in one part: some 200 MB of working memory."""


def decay(age_seconds: npt.NDArray[np.float64], half_life_days: float) -> npt.NDArray[np.float32]:
    """Weight of something that old: 1 now, 1/2 after each half-life."""
    return np.exp2(-age_seconds / (half_life_days * SECONDS_PER_DAY)).astype(np.float32)


def step_matrix(
    events: Events, items: int, most: int | None = None
) -> tuple[Any, npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Steps as rows: `[steps, items]` CSR of evidence, the user of each step, its time in seconds.

    A step is a user's events of one timestamp. Evidence against (negative weights) is left out; the same item twice in
    one step counts once. Of a step of more than `most` items the heaviest stay.
    """
    from scipy.sparse import csr_matrix

    steps = events.steps()
    count = int(steps[-1]) + 1 if len(steps) else 0
    first = np.flatnonzero(np.diff(steps, prepend=-1))
    positive = events.weight > 0
    keys = steps[positive] * items + events.item[positive]
    order = np.argsort(keys, kind="stable")
    keys, weight = keys[order], events.weight[positive][order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    keys = keys[starts]
    heaviest = np.maximum.reduceat(weight, starts) / weight.max() if len(starts) else weight
    rows = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(keys // items, minlength=count), out=rows[1:])
    parts = (heaviest.astype(np.float32), (keys % items).astype(np.int32), rows)
    matrix = csr_matrix(parts, shape=(count, items))
    if most is not None:
        matrix = largest_of_rows(matrix, most)
    return matrix, events.user[first], events.timestamp[first]


@dataclass(frozen=True)
class _Steps:
    """What the counting of pairs reads."""

    forward: Any
    """`[steps, items]` CSR of damped evidence, float64: sums of millions of pairs stay exact to float32."""
    backward: Any
    """The same as CSC: the steps of each item."""
    reach: Rows
    """How many later steps of the same user lie in the window, `[steps]`."""
    recency: npt.NDArray[np.float32]
    """Weight by age, `[steps]`."""
    factors: npt.NDArray[np.float32]
    """Weight by distance in steps, from 0 to the window; the one of distance 0 is that of a basket."""


def transition_counts(events: Events, items: int, config: CountConfig, now: float) -> Any:
    """Decayed counts of i followed by j at most `window` steps later, `[items, items]` CSR.

    A pair d steps apart counts 1/d; two items of one step count `basket_weight` both ways. Pairs of large steps are
    damped by the square root of the steps' sizes, so that one huge basket does not outweigh a hundred small ones.
    """
    from scipy.sparse import csr_matrix, vstack

    parts = [counts for _, counts in _counted(events, items, config, now)]
    return vstack(parts, format="csr") if parts else csr_matrix((items, items), dtype=np.float32)


def strongest_transitions(
    events: Events, items: int, config: CountConfig, now: float, popularity: npt.NDArray[np.float32]
) -> Any:
    """`normalised` counts, the strongest `max_neighbours` of each row, `[items, items]` CSR.

    All counts together are never held: a part of the rows is counted and cut at a time.
    """
    from scipy.sparse import csr_matrix, vstack

    parts = [
        normalised(counts, popularity, config.popularity_power, config.max_neighbours)
        for _, counts in _counted(events, items, config, now)
    ]
    return vstack(parts, format="csr") if parts else csr_matrix((items, items), dtype=np.float32)


def _counted(events: Events, items: int, config: CountConfig, now: float) -> Iterator[tuple[int, Any]]:
    """Parts of the counts, all rows in order: the first row of each and its `[rows, items]` CSR."""
    from scipy.sparse import csr_matrix, vstack

    steps = _steps(events, items, config, now)
    row, rest = 0, None
    for start, end in _parts(steps):
        part, last = _pairs(steps, row, start, end)
        if rest is not None:
            part = vstack([part[:1] + rest, part[1:]], format="csr")
        # The last row goes on in the next part, where a hot item has more pairs than one part holds.
        unfinished = end < steps.backward.indptr[last + 1]
        whole = part.shape[0] - (1 if unfinished else 0)
        if whole:
            yield row, _finished(part[:whole], row)
        rest = part[whole:] if unfinished else None
        row += whole
    if row < items:
        yield row, csr_matrix((items - row, items), dtype=np.float32)


def _steps(events: Events, items: int, config: CountConfig, now: float) -> _Steps:
    from scipy.sparse import csr_matrix

    matrix, user, time = step_matrix(events, items, config.max_basket)
    sizes = np.maximum(np.diff(matrix.indptr), 1)
    damping = np.repeat((1 / np.sqrt(sizes)).astype(np.float32), np.diff(matrix.indptr))
    damped = (damping * matrix.data).astype(np.float64)
    forward = csr_matrix((damped, matrix.indices, matrix.indptr), shape=matrix.shape)
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    ends = np.append(starts[1:], len(user)) if len(user) else starts
    last = np.repeat(ends - 1, ends - starts)
    reach = np.minimum(config.window, last - np.arange(len(user)))
    distances = np.arange(1, config.window + 1, dtype=np.float32)
    factors = np.concatenate([[np.float32(config.basket_weight)], 1 / distances]).astype(np.float32)
    return _Steps(forward, forward.tocsc(), reach, decay(now - time, config.half_life_days), factors)


def _parts(steps: _Steps) -> Iterator[tuple[int, int]]:
    """Runs of the entries of `backward`, by item, of some `PAIRS_AT_ONCE` pairs each."""
    pointers, count = steps.forward.indptr, len(steps.reach)
    at = np.arange(count)
    from_step = at + (0 if steps.factors[0] > 0 else 1)
    pairs = pointers[at + steps.reach + 1] - pointers[np.minimum(from_step, count)]
    total = np.cumsum(pairs[steps.backward.indices] + 1)
    start = 0
    while start < len(total):
        before = total[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(total, before + PAIRS_AT_ONCE, side="right")))
        yield start, end
        start = end


def _pairs(steps: _Steps, row: int, start: int, end: int) -> tuple[Any, int]:
    """What follows the entries `start` to `end` of `backward`: `[rows, items]` CSR from `row` on, and its last row."""
    from scipy.sparse import csr_matrix

    pointers = steps.backward.indptr
    last = int(np.searchsorted(pointers, end - 1, side="right")) - 1
    at, evidence = steps.backward.indices[start:end], steps.backward.data[start:end]
    nearest = 0 if steps.factors[0] > 0 else 1
    lengths = steps.reach[at] + 1 - nearest
    edges = np.concatenate([[0], np.cumsum(lengths)])
    distance = np.arange(edges[-1]) - np.repeat(edges[:-1] - nearest, lengths)
    later = np.repeat(at, lengths) + distance
    values = np.repeat(evidence, lengths) * steps.recency[later] * steps.factors[distance]
    rows = edges[np.clip(pointers[row : last + 2], start, end) - start]
    weights = csr_matrix((values, later, rows), shape=(last + 1 - row, len(steps.reach)))
    return weights @ steps.forward, last


def _finished(counts: Any, row: int) -> Any:
    """Counts without the diagonal, as float32: coming back to an item is a signal of its own."""
    own = np.repeat(np.arange(row, row + counts.shape[0]), np.diff(counts.indptr))
    counts = counts.astype(np.float32)
    counts.data[counts.indices == own] = 0
    counts.eliminate_zeros()
    return counts


def decayed_popularity(events: Events, items: int, half_life_days: float, now: float) -> npt.NDArray[np.float32]:
    """Positive evidence for each item, the heaviest event as 1, halved every `half_life_days`, `[items]`."""
    heaviest = float(events.weight.max(initial=0)) or 1.0
    weight = np.maximum(events.weight, 0) / heaviest * decay(now - events.timestamp, half_life_days)
    return np.bincount(events.item, weight, items).astype(np.float32)


def normalised(counts: Any, popularity: npt.NDArray[np.float32], power: float, most: int) -> Any:
    """T[i, j] / (sqrt(row sum) * popularity_j ** power), the strongest `most` of each row, `[rows, items]` CSR."""
    from scipy.sparse import diags

    row = np.sqrt(np.asarray(counts.sum(axis=1)).ravel())
    left = diags(np.divide(1, row, out=np.zeros_like(row), where=row > 0))
    right = diags(np.where(popularity > 0, np.maximum(popularity, 1e-6) ** -power, 0))
    scaled = (left @ counts @ right).tocsr().astype(np.float32)
    return strongest_of_rows(scaled, most)
