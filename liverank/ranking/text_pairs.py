"""Which texts belong together: what users took near each other, drawn so that hot items do not drown the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.config.training import CountConfig
from liverank.ranking.catalogue import Floats, Rows
from liverank.ranking.data import Events
from liverank.ranking.transitions import decayed_popularity, strongest_transitions

_NEVER_DAYS = 1e6
"""What belonged together long ago still does: no decay by age."""
_DAMPING = 0.5
_NEIGHBOURS = 200
MOST_JUDGED = 1000
"""Most texts held out: recall over so many is known to a percent or two."""
MOST_RANKED = 20_000
"""Most texts that a judgement ranks: a random part of more would only take longer to say the same."""


def distinct_texts(texts: Sequence[str]) -> tuple[list[str], Rows]:
    """The distinct texts that say something, and which of them each item has (-1: none), `[items]`."""
    place: dict[str, int] = {}
    rows = [place.setdefault(text, len(place)) if text.strip() else -1 for text in texts]
    return list(place), np.asarray(rows, np.int64)


def neighbours(events: Events, rows: Rows, texts: int, window: int) -> Any:
    """How strongly texts belong together, `[texts, texts]` CSR, symmetric, zero on the diagonal.

    Two texts that a user took d steps apart, at most `window`, count 1/d (of one step: 1, less in a large basket); a
    pair's sum is divided by the fourth roots of both texts' totals. So hot ones do not drown the rest, and what came
    together often still counts more than what did so once, by chance. A text keeps its 200 closest.

    Args:
        events: the training events; nothing else decides what belongs together.
        rows: text of each item, -1: none.
        texts: number of texts.
        window: largest distance in steps.
    """
    from scipy.sparse import diags

    known = rows[events.item] >= 0
    events = events.where(known)
    events = replace(events, item=rows[events.item].astype(np.int32))
    config = CountConfig(
        window=window,
        basket_weight=1,
        half_life_days=_NEVER_DAYS,
        popularity_power=_DAMPING,
        max_neighbours=_NEIGHBOURS,
    )
    now = events.latest
    popularity = decayed_popularity(events, texts, _NEVER_DAYS, now)
    followed = strongest_transitions(events, texts, config, now, popularity)
    # Those are divided by square roots, which is right to choose the closest and too much to draw by.
    half = diags(popularity ** (_DAMPING / 2))
    followed = (half @ followed @ half).tocsr()
    return (followed + followed.T).tocsr()


@dataclass(frozen=True)
class HeldOut:
    """Texts that no pair of the tuning has, in two halves: one picks the best state, the other judges it."""

    picking: Rows
    judging: Rows

    @property
    def rows(self) -> Rows:
        """All of them, `[texts]`."""
        return np.concatenate([self.picking, self.judging])


def held_out_texts(matrix: Any, share: float, seed: int) -> HeldOut:
    """A random share of the texts with neighbours, at most `MOST_JUDGED`."""
    known = np.flatnonzero(np.diff(matrix.indptr))
    most = min(MOST_JUDGED, int(len(known) * share))
    chosen = np.random.default_rng([seed, 1]).permutation(known)[:most].astype(np.int64)
    return HeldOut(chosen[::2], chosen[1::2])


class Pairs:
    """Pairs of texts to draw from, each as likely as it is strong; none has a text that was held out."""

    def __init__(self, matrix: Any, held_out: Rows) -> None:
        free = np.ones(matrix.shape[0], bool)
        free[held_out] = False
        one = matrix.tocoo()
        # One of the two directions: a drawn pair is asked both ways.
        kept = free[one.row] & free[one.col] & (one.row < one.col)
        self.left, self.right = one.row[kept].astype(np.int64), one.col[kept].astype(np.int64)
        weights = one.data[kept].astype(np.float64)
        self._cumulated = np.cumsum(weights)
        total = self._cumulated[-1] if len(weights) else 1.0
        drawn = np.bincount(self.left, weights, len(free)) + np.bincount(self.right, weights, len(free))
        self.chance: npt.NDArray[np.float64] = drawn / total
        """Chance of each text to be in one drawn pair, `[texts]`."""

    def __len__(self) -> int:
        return len(self.left)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Both texts of so many pairs, drawn with replacement."""
        at = np.searchsorted(self._cumulated, rng.uniform(0, self._cumulated[-1], count), side="right")
        at = np.minimum(at, len(self) - 1)
        return self.left[at], self.right[at]

    def log_inclusion(self, rows: Rows, count: int) -> Floats:
        """Logarithm of each text's chance to be in a batch of `count` pairs, `[rows]`.

        What a softmax over the batch must be corrected by, so that hot texts, which are in most batches, are not pushed
        away for that alone (Yi et al., 2019).
        """
        chance = np.clip(self.chance[rows], 1e-12, 1 - 1e-12)
        return np.log(-np.expm1(count * np.log1p(-chance))).astype(np.float32)


class Judge:
    """Recall@k of texts that were held out: of what belongs with one, how much is among the k nearest of all texts."""

    def __init__(self, matrix: Any, held_out: Rows, seed: int, k: int = 10) -> None:
        self.k = k
        texts = matrix.shape[0]
        others = np.random.default_rng([seed, 2]).permutation(np.setdiff1d(np.arange(texts), held_out))
        self.ranked: Rows = np.sort(np.concatenate([held_out, others[: max(0, MOST_RANKED - len(held_out))]]))
        """Rows of the texts that are ranked."""
        self._asked = np.searchsorted(self.ranked, held_out)
        self._true = matrix[held_out][:, self.ranked].astype(bool).tocsr()

    def recalls(self, vectors: Floats) -> Floats:
        """Of each text that was held out, `[held out]`, from the unit vectors of `ranked`; 0 without a neighbour."""
        found = np.zeros(len(self._asked), np.float32)
        for at, row in enumerate(self._asked.tolist()):
            scores = vectors @ vectors[row]
            scores[row] = -np.inf
            nearest = np.argpartition(-scores, min(self.k, len(scores) - 1))[: self.k]
            true = self._true.indices[self._true.indptr[at] : self._true.indptr[at + 1]]
            found[at] = np.isin(nearest, true).sum() / max(1, min(self.k, len(true)))
        return found
