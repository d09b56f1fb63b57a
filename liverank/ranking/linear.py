"""The linear ranker: which items together foretell an item, as weights between items in closed form.

A ridge regression for each item on the users' other items, as in EASE (Steck, 2019, Embarrassingly Shallow Autoencoders
for Sparse Data), over the item's nearest neighbours only, as in fsSLIM (Ning and Karypis, 2011, SLIM: Sparse Linear
Methods for Top-N Recommender Systems): a system of a hundred unknowns an item instead of the inverse of a matrix of all
items, and a hundred weights an item to keep. It knows nothing of order; what it adds to the transitions is the whole
history at once, each item counted for what the others do not say already. Few users are enough for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank import progress
from liverank.config.training import LinearConfig
from liverank.ranking import arrays
from liverank.ranking.count import evidence, log_scaled
from liverank.ranking.data import Catalogue, EncodedRequest, Events, Floats, Rows, encode
from liverank.ranking.protocol import Request, Scores, remembered
from liverank.ranking.scales import Scales
from liverank.ranking.sparse import (
    from_arrays,
    grown,
    is_narrow,
    largest_of_rows,
    row_entries,
    to_arrays,
    weighted_rows,
)

Doubles = npt.NDArray[np.float64]

AT_ONCE: Final = 64
"""Items whose systems are solved together."""
DENSE_ITEMS: Final = 8_000
"""Items up to which all pairs are held as one dense matrix: 256 MB."""
MOST_PAIRS: Final = 200_000_000
"""Pairs of items that users may have, where the matrix of pairs is sparse (at most 2.4 GB); beyond, users are drawn."""
WELL_CONDITIONED: Final = 1e5
"""Condition of systems up to which float32 solves them, to less than a hundredth at worst; beyond, float64 does."""


class LinearRanker:
    """Scores an item by the summed weights from the user's items to it, log-scaled within the request."""

    name = "linear"

    def __init__(self, catalogue: Catalogue, weights: Any, type_weights: Mapping[str, float]) -> None:
        self.catalogue = catalogue
        self.weights = weights
        """From each item (row) to the items that it foretells, `[items, items]` CSR."""
        self.type_weights = dict(type_weights)

    @classmethod
    def fit(cls, catalogue: Catalogue, events: Events, config: LinearConfig) -> LinearRanker:
        """Solves the system of every item that has a user."""
        users = _users(events, len(catalogue), config)
        return cls(catalogue, _weights(users, config), events.type_weights())

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays."""
        return self.score_encoded([encode(self.catalogue, request) for request in requests])

    def score_encoded(self, requests: Sequence[EncodedRequest], scales: Sequence[Scales] | None = None) -> list[Scores]:
        """Scores of requests in rows; 0 for unknown items, and for all without a history.

        `scales` of each request take the place of those of its list where they hold any.
        """
        held = [Scales() for _ in requests] if scales is None else scales
        return [self._score(request, of) for request, of in zip(requests, held, strict=True)]

    def _score(self, request: EncodedRequest, scales: Scales) -> Scores:
        items, strength, every = remembered(request.request.history, self, self.name, lambda: self._asking(request))
        scores = np.zeros(len(request.candidates))
        known = request.candidates >= 0
        rows = request.candidates[known]
        scores[known] = weighted_rows(self.weights, items, strength, rows) if every is None else every[rows]
        scores = np.maximum(scores, 0)
        return log_scaled(scores, scales.largest(self.name, scores))

    def _asking(self, request: EncodedRequest) -> tuple[Rows, Doubles, Doubles | None]:
        """The user's items, the evidence of each, and what they foretell of each item of a narrow catalogue."""
        weight = evidence(request, self.type_weights)
        # What a user had often is one item all the same, as in training.
        items, inverse = np.unique(request.history, return_inverse=True)
        strength = np.zeros(len(items))
        np.maximum.at(strength, inverse, weight)
        return items, strength, weighted_rows(self.weights, items, strength) if is_narrow(self.weights) else None

    def on(self, catalogue: Catalogue, changed: Rows) -> LinearRanker:
        """The same weights over a catalogue with appended items, which nothing foretells yet."""
        return LinearRanker(catalogue, grown(self.weights, len(catalogue)), self.type_weights)

    def save(self, folder: Path) -> None:
        """Writes the weights; the catalogue is the bundle's."""
        arrays.write(folder, to_arrays(self.weights), {"type_weights": self.type_weights})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue) -> LinearRanker:
        """The ranker that `save` wrote, over the catalogue it was fitted on."""
        data, settings = arrays.read(folder)
        return cls(catalogue, from_arrays(data, len(catalogue)), settings["type_weights"])


def _users(events: Events, items: int, config: LinearConfig) -> Any:
    """What each user had, by its strongest evidence, the heaviest event as 1: `[users, items]` CSR.

    Users of many items are damped, lest a few of them say what goes with what.
    """
    from scipy.sparse import csr_matrix, diags

    positive = np.flatnonzero(events.weight > 0)
    keys = events.user[positive].astype(np.int64) * items + events.item[positive]
    keys, inverse = np.unique(keys, return_inverse=True)
    values = np.zeros(len(keys), np.float32)
    heaviest = float(events.weight.max(initial=0)) or 1.0
    np.maximum.at(values, inverse, events.weight[positive] / np.float32(heaviest))
    count = len(events.users)
    pointers = np.concatenate([[0], np.cumsum(np.bincount(keys // items, minlength=count))])
    users = csr_matrix((values, (keys % items).astype(np.int32), pointers), shape=(count, items))
    users = _within_bounds(largest_of_rows(users, config.user_items), items)
    sizes = np.maximum(np.diff(users.indptr), 1)
    # Halved: a pair of items meets the factor twice.
    damping = (sizes / sizes.mean()) ** (-config.user_damping / 2) if len(sizes) else sizes
    return (diags(damping.astype(np.float32)) @ users).tocsr()


def _within_bounds(users: Any, items: int) -> Any:
    """All users, or as many, drawn at random, as have `MOST_PAIRS` pairs of items."""
    pairs = np.diff(users.indptr).astype(np.int64) ** 2
    if items <= DENSE_ITEMS or pairs.sum() <= MOST_PAIRS:
        return users
    order = np.random.default_rng(0).permutation(len(pairs))
    drawn = max(1, int(np.searchsorted(np.cumsum(pairs[order]), MOST_PAIRS)))
    return users[np.sort(order[:drawn])]


def _weights(users: Any, config: LinearConfig) -> Any:
    """The solutions, `[items, items]` CSR: row i, column j holds what having i says of j."""
    from scipy.sparse import csr_matrix

    items = users.shape[1]
    support = np.bincount(users.indices, minlength=items)
    asked = np.flatnonzero(support > 0)
    if len(asked) > config.items:
        asked = np.sort(asked[np.argsort(-support[asked], kind="stable")[: config.items]])
    pairs = _pairs(users[:, asked])
    sources, values, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)], np.zeros(items, np.int64)
    with progress.stage("linear ranker", len(asked)) as stage:
        for first in range(0, len(asked), AT_ONCE):
            targets = range(first, min(first + AT_ONCE, len(asked)))
            near = [pairs.neighbours(target, config) for target in targets]
            for target, rows, weights in zip(targets, near, _solved(pairs, targets, near, config), strict=True):
                sources.append(asked[rows])
                values.append(weights)
                sizes[asked[target]] = len(rows)
            stage.advance(len(targets))
    cells = (np.concatenate(values), (np.concatenate(sources), np.repeat(np.arange(items), sizes)))
    return csr_matrix(cells, shape=(items, items), dtype=np.float32)


def _solved(pairs: _Pairs, targets: Sequence[int], near: Sequence[Rows], config: LinearConfig) -> Iterator[Floats]:
    """Weights w of each target's neighbours N: (G[N, N] + ridge) w = G[N, target], `[neighbours]` each."""
    width = max(map(len, near))
    # What a system lacks of the widest one is unknowns of their own, whose solution is 0.
    left = np.tile(np.eye(width, dtype=np.float32), (len(near), 1, 1))
    right = np.zeros((len(near), width, 1), np.float32)
    for at, (target, rows) in enumerate(zip(targets, near, strict=True)):
        size = len(rows)
        left[at, :size, :size] = pairs.among(rows)
        right[at, :size, 0] = pairs.of(target, rows)
    found = _solve(left, right, config.ridge) if width else right[:, :, 0]
    for weights, rows in zip(found, near, strict=True):
        yield weights[: len(rows)]


def _solve(left: Floats, right: Floats, ridge: float) -> Floats:
    """The solutions of regularised systems, `[systems, unknowns]`."""
    # No eigenvalue exceeds the trace, and none will be below the ridge. Float32 takes half the time of float64.
    largest = float(left.trace(axis1=1, axis2=2).max())
    exact = left if largest <= WELL_CONDITIONED * ridge else left.astype(np.float64)
    diagonal = np.arange(left.shape[1])
    exact[:, diagonal, diagonal] += exact.dtype.type(ridge)
    return np.linalg.solve(exact, right)[:, :, 0].astype(np.float32)


class _Pairs:
    """How many users had both of two items, `[items, items]`, as a dense matrix."""

    def __init__(self, users: Any) -> None:
        self.matrix = np.zeros((users.shape[1],) * 2, np.float32)
        columns = users.tocsc()
        for start in range(0, users.shape[1], 1024):
            self.matrix[start : start + 1024] = (columns[:, start : start + 1024].T @ users).toarray()
        self.support = self.matrix.diagonal().copy()

    def neighbours(self, item: int, config: LinearConfig) -> Rows:
        """The other items nearest to it by the cosine of their users, ascending."""
        rows, counts = self._row(item)
        rows, counts = rows[rows != item], counts[rows != item]
        if len(rows) > config.neighbours:
            cosine = counts / np.sqrt(self.support[rows] + np.float32(config.ridge))
            rows = np.sort(rows[np.argsort(-cosine, kind="stable")[: config.neighbours]])
        return rows

    def among(self, rows: Rows) -> Floats:
        """The pairs of some items, `[rows, rows]`."""
        found: Floats = self.matrix[rows[:, None], rows]
        return found

    def of(self, item: int, rows: Rows) -> Floats:
        """The pairs of an item with others, `[rows]`."""
        found: Floats = self.matrix[item, rows]
        return found

    def _row(self, item: int) -> tuple[Rows, Floats]:
        rows = np.flatnonzero(self.matrix[item])
        return rows, self.matrix[item, rows]


class _SparsePairs(_Pairs):
    """The same as a sparse matrix, for many items."""

    def __init__(self, users: Any) -> None:
        self.sparse = (users.T @ users).tocsr()
        self.sparse.sort_indices()
        self.support = self.sparse.diagonal()
        self._place = np.full(users.shape[1], -1)

    def among(self, rows: Rows) -> Floats:
        """The pairs of some items, `[rows, rows]`."""
        size = len(rows)
        self._place[rows] = np.arange(size)
        at, lengths = row_entries(self.sparse.indptr, rows)
        columns = self._place[self.sparse.indices[at]]
        self._place[rows] = -1
        known = columns >= 0
        found = np.zeros((size, size), np.float32)
        found[np.repeat(np.arange(size), lengths)[known], columns[known]] = self.sparse.data[at[known]]
        return found

    def of(self, item: int, rows: Rows) -> Floats:
        """The pairs of an item with others, `[rows]`."""
        columns, counts = self._row(item)
        found: Floats = counts[np.searchsorted(columns, rows)]
        return found

    def _row(self, item: int) -> tuple[Rows, Floats]:
        start, end = self.sparse.indptr[item], self.sparse.indptr[item + 1]
        return self.sparse.indices[start:end].astype(np.int64), self.sparse.data[start:end]


def _pairs(users: Any) -> _Pairs:
    return _Pairs(users) if users.shape[1] <= DENSE_ITEMS else _SparsePairs(users)
