"""What is counted of every basket in a prequential walk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.ranking.basket_stream import Basket
from liverank.ranking.data import EncodedRequest, Floats

K = 10
ALL, NEW, FRESH = COLUMNS = ("all", "new customers", "returning, new items")


@dataclass
class Tally:
    """NDCG and hit of each basket, and whose it was, by column; the users are the same for every ranker."""

    k: int = K
    values: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    users: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, scores: Floats, basket: Basket, request: EncodedRequest) -> None:
        """Counts one ranking of all items in every column it belongs to."""
        self._put(ALL, scores, basket.items, basket.user)
        if not len(request.history):
            self._put(NEW, scores, basket.items, basket.user)
            return
        had = np.zeros(len(scores), bool)
        had[request.history] = True
        fresh = basket.items[~had[basket.items]]
        if len(fresh):
            self._put(FRESH, np.where(had, np.float32(-np.inf), scores), fresh, basket.user)

    def _put(self, column: str, scores: Floats, truth: npt.NDArray[Any], user: int) -> None:
        self.values[column].append(ndcg_and_hit(scores, truth, self.k))
        self.users[column].append(user)

    def row(self) -> dict[str, dict[str, float]]:
        """Column -> mean NDCG, mean hit rate, the NDCG's standard error, number of baskets."""
        return {name: _means(np.asarray(values), self.k) for name, values in self.values.items() if values}


@dataclass(frozen=True)
class Walk:
    """What the walk through the baskets found."""

    tallies: dict[str, Tally]
    """Ranker -> its values."""
    users: tuple[str, ...]
    """Names of the users that the tallies count."""
    cut: float
    """From when on baskets were scored, seconds since 1970."""
    seconds: float
    """Of the walk alone: counting each midnight, scoring and learning every basket."""
    facts: dict[str, Any]
    """Baskets, items, learned weights, epochs."""

    def rows(self) -> dict[str, dict[str, dict[str, float]]]:
        """Ranker -> column -> figures (see `Tally.row`)."""
        return {name: tally.row() for name, tally in self.tallies.items()}


def _means(values: npt.NDArray[np.float64], k: int) -> dict[str, float]:
    error = float(values[:, 0].std() / np.sqrt(len(values)))
    ndcg, hit = values.mean(axis=0)
    return {f"ndcg_at_{k}": float(ndcg), f"hr_at_{k}": float(hit), "standard_error": error, "baskets": len(values)}


def ndcg_and_hit(scores: Floats, truth: npt.NDArray[Any], k: int = K) -> tuple[float, float]:
    """NDCG@k (binary, ideal over all of the truth) and whether any of the truth is in the top k; ties by row."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    top = np.argpartition(-scores, min(10 * k, len(scores) - 1))[: 10 * k]
    top = top[np.lexsort((top, -scores[top]))][:k]
    hits = (top[:, None] == truth).any(axis=1)
    ideal = float(discounts[: min(k, len(truth))].sum())
    return float(hits @ discounts[: len(hits)]) / ideal, float(hits.any())
