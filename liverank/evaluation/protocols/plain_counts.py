"""The plain recipes that any model has to beat: transition counts, TF-IDF of titles, and their sum.

Written apart from the count ranker, in a few lines of sparse algebra, so that the two check each other.

* Transitions: in each training sequence, i -> j at distance d = 1..5 counts 1/d, summed in T; the score of j after i is
  T[i, j] / (sqrt(row sum of i) * popularity_j ** 0.35), popularity being the item's training events.
* Text: the cosine of TF-IDF vectors of the items' texts (1-2-grams, sublinear, terms of at least two items).
* A user's query is the last 10 items, the latest as 1, each before it 0.7 times as much.
* Both together: each divided by its maximum over the user's candidates, counts + weight * text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from liverank.ranking.catalogue import Floats, Rows

WINDOW: Final = 5
POPULARITY_POWER: Final = 0.35
QUERY_ITEMS: Final = 10
QUERY_DECAY: Final = 0.7
WEIGHTS: Final = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0)
"""What is tried for the weight of the text side."""


@dataclass(frozen=True)
class PlainCounts:
    """Both sides of the recipe, fitted."""

    transitions: Any
    """T[i, j] / (sqrt(row sum) * popularity_j ** 0.35), `[items, items]` CSR."""
    text: Any
    """Unit TF-IDF vectors, `[items, terms]` CSR; without a column where no text has a term."""

    @classmethod
    def fit(cls, sequences: Sequence[Rows], texts: Sequence[str]) -> PlainCounts:
        """Counts the sequences (rows of items, oldest first); `texts` has one entry an item."""
        return cls(_normalised(_counts(sequences, len(texts)), _popularity(sequences, len(texts))), _vectors(texts))

    def counted(self, histories: Sequence[Rows]) -> Floats:
        """The transition side for histories (rows, oldest first), `[histories, items]`."""
        return self._dense(self._queries(histories) @ self.transitions)

    def similar(self, histories: Sequence[Rows]) -> Floats:
        """The text side, `[histories, items]`: the query's summed vectors times each item's, not divided by a length.

        The length of the query is the same for all items of a user, so that it changes no order, and each side is
        divided by its maximum.
        """
        return self._dense((self._queries(histories) @ self.text) @ self.text.T)

    def _queries(self, histories: Sequence[Rows]) -> Any:
        from scipy.sparse import csr_matrix

        latest = [history[-QUERY_ITEMS:][::-1] for history in histories]
        rows = np.repeat(np.arange(len(latest)), [len(items) for items in latest])
        values = [QUERY_DECAY ** np.arange(len(items)) for items in latest]
        cells = (np.concatenate([*values, np.zeros(0)]), (rows, np.concatenate([*latest, np.zeros(0, np.int64)])))
        return csr_matrix(cells, shape=(len(latest), self.transitions.shape[0]))

    def _dense(self, scores: Any) -> Floats:
        return np.asarray(scores.toarray(), np.float32)


def together(counted: Floats, similar: Floats, weight: float) -> Floats:
    """Both sides, each divided by its maximum over a user's candidates, `[histories, items]`; -inf is no candidate."""
    if not weight:
        return _of_largest(counted)
    return _of_largest(counted) + np.float32(weight) * _of_largest(similar)


def _of_largest(scores: Floats) -> Floats:
    # What is no candidate is -inf in both sides, and stays it.
    largest = scores.max(axis=1, keepdims=True, initial=0)
    return np.asarray(scores / np.where(largest > 0, largest, 1), np.float32)


def _counts(sequences: Sequence[Rows], items: int) -> Any:
    from scipy.sparse import coo_matrix

    total = coo_matrix((items, items)).tocsr()
    for distance in range(1, WINDOW + 1):
        first = np.concatenate([*(sequence[:-distance] for sequence in sequences), np.zeros(0, np.int64)])
        then = np.concatenate([*(sequence[distance:] for sequence in sequences), np.zeros(0, np.int64)])
        total = total + coo_matrix((np.full(len(first), 1 / distance), (first, then)), shape=(items, items)).tocsr()
    return total


def _popularity(sequences: Sequence[Rows], items: int) -> Any:
    return np.bincount(np.concatenate([*sequences, np.zeros(0, np.int64)]), minlength=items)


def _normalised(counts: Any, popularity: Any) -> Any:
    from scipy.sparse import diags

    rows = np.sqrt(np.asarray(counts.sum(axis=1)).ravel())
    left = np.divide(1, rows, out=np.zeros_like(rows), where=rows > 0)
    right = np.maximum(popularity, 1) ** -POPULARITY_POWER
    return (diags(left) @ counts @ diags(right)).tocsr()


def _vectors(texts: Sequence[str]) -> Any:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit_transform(texts).tocsr()
    except ValueError:  # no term is in two texts
        return csr_matrix((len(texts), 0))
