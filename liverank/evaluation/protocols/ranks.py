"""From scores of all items to the ranks of what was looked for, and from those to metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from liverank.evaluation.lists import Floats as Doubles
from liverank.ranking.catalogue import Floats, Rows

METRICS: Final = ("ndcg", "hit_rate", "recall", "mrr")
Values = Mapping[str, Doubles]
"""Metric -> `[requests]`."""


def truth_ranks(scores: Floats, truths: Sequence[Rows]) -> list[Rows]:
    """Rank of each wanted item, from 1, for each request.

    Equal scores stand in the order of the catalogue's rows.

    Args:
        scores: `[requests, items]`; -inf where an item is no candidate.
        truths: the wanted rows of each request.
    """
    owner = np.repeat(np.arange(len(truths)), [len(truth) for truth in truths])
    rows = np.concatenate([*truths, np.zeros(0, np.int64)]).astype(np.int64)
    ranks = np.empty(len(rows), np.int64)
    for at, (request, row) in enumerate(zip(owner.tolist(), rows.tolist(), strict=True)):
        of = scores[request]
        value = of[row]
        ranks[at] = 1 + np.count_nonzero(of > value) + np.count_nonzero(of[:row] == value)
    return np.split(ranks, np.cumsum([len(truth) for truth in truths])[:-1]) if truths else []


def best_rows(scores: Floats, most: int) -> npt.NDArray[np.int32]:
    """The best rows of each request, best first, `[requests, most]`; -1 where there are fewer candidates.

    Equal scores stand in the order of the catalogue's rows.
    """
    most = min(most, scores.shape[1])
    found = np.full((len(scores), most), -1, np.int32)
    for at, of in enumerate(scores):
        # All that could be tied with the last place, so that the order of rows decides there too.
        least = np.partition(of, len(of) - most)[len(of) - most]
        rows = np.flatnonzero((of >= least) & (of > -np.inf))
        rows = rows[np.lexsort((rows, -of[rows]))][:most]
        found[at, : len(rows)] = rows
    return found


def metrics(ranks: Sequence[Rows], k: int) -> Values:
    """NDCG@k (binary gains, the ideal over all that was wanted), hit rate@k, recall@k, and MRR without a cut-off.

    Hit rate is whether any of the wanted is among the first k, recall how much of it is; with one wanted item the two
    are the same. MRR takes the first of the wanted.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    table = np.zeros((len(ranks), len(METRICS)))
    for at, of in enumerate(ranks):
        hits = of[of <= k]
        ideal = discounts[: min(k, len(of))].sum()
        table[at] = discounts[hits - 1].sum() / ideal, len(hits) > 0, len(hits) / len(of), 1 / of.min()
    return {name: table[:, column] for column, name in enumerate(METRICS)}
