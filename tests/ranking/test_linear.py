"""The linear ranker: the closed form it stands for, its bounds, and what it makes of odd histories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverank.config.training import LinearConfig
from liverank.ranking import linear
from liverank.ranking.count import log_scaled
from liverank.ranking.data import Catalogue, Events
from liverank.ranking.linear import LinearRanker
from liverank.ranking.protocol import Candidates, Context, History, Request, score

ITEMS = 12


def catalogue(items: int = ITEMS) -> Catalogue:
    names = tuple(f"i{at}" for at in range(items))
    return Catalogue(names, names, names, names, train_events=np.ones(items, np.int64))


def events(users: int = 80, items: int = ITEMS, seed: int = 0) -> Events:
    """Users who have an item by chance, and with an even item mostly the next one too."""
    rng = np.random.default_rng(seed)
    had = rng.random((users, items)) < 0.3
    had[:, 1::2] |= had[:, ::2] & (rng.random((users, items // 2)) < 0.7)
    user, item = np.nonzero(had)
    return Events(
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        type=np.zeros(len(user), np.int16),
        weight=np.ones(len(user), np.float32),
        timestamp=np.arange(len(user), dtype=np.float64),
        users=tuple(map(str, range(users))),
        types=("click",),
    )


def dense(of: Events, items: int = ITEMS) -> np.ndarray:
    found = np.zeros((len(of.users), items))
    found[of.user, of.item] = 1
    return found


def ease(had: np.ndarray, ridge: float) -> np.ndarray:
    """Steck's closed form: -P[i, j] / P[j, j] off the diagonal, P the inverse of the regularised pairs."""
    inverse = np.linalg.inv(had.T @ had + ridge * np.eye(had.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("dense_items", [0, 100])
def test_with_all_items_as_neighbours_it_is_ease(monkeypatch, dense_items):
    monkeypatch.setattr(linear, "DENSE_ITEMS", dense_items)
    config = LinearConfig(ridge=7.0, neighbours=ITEMS, user_damping=0.0)
    found = LinearRanker.fit(catalogue(), events(), config).weights.toarray()
    np.testing.assert_allclose(found, ease(dense(events()), 7.0), atol=2e-5)


@pytest.mark.parametrize("dense_items", [0, 100])
def test_few_neighbours_are_the_nearest_and_solve_their_own_system(monkeypatch, dense_items):
    monkeypatch.setattr(linear, "DENSE_ITEMS", dense_items)
    config = LinearConfig(ridge=5.0, neighbours=3, user_damping=0.0)
    found = LinearRanker.fit(catalogue(), events(), config).weights.toarray()
    had = dense(events())
    pairs = had.T @ had
    for target in range(ITEMS):
        cosine = pairs[target] / np.sqrt(np.diag(pairs) + 5.0)
        cosine[target] = -1
        near = np.sort(np.argsort(-cosine, kind="stable")[:3])
        wanted = np.linalg.solve(pairs[np.ix_(near, near)] + 5.0 * np.eye(3), pairs[near, target])
        assert set(np.flatnonzero(found[:, target])) == set(near)
        np.testing.assert_allclose(found[near, target], wanted, atol=2e-5)


def test_both_forms_of_the_pairs_give_the_same(monkeypatch):
    many = events(300, 60)
    config = LinearConfig(neighbours=10)
    one = LinearRanker.fit(catalogue(60), many, config).weights
    monkeypatch.setattr(linear, "DENSE_ITEMS", 0)
    other = LinearRanker.fit(catalogue(60), many, config).weights
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_allclose(one.data, other.data, atol=1e-5)


def test_what_goes_together_is_foretold():
    ranker = LinearRanker.fit(catalogue(), events(), LinearConfig(ridge=5.0))
    scores = score(ranker, History(["i4"], ["click"], [1.0]), Candidates(list(catalogue().item_ids)), Context(2.0))
    assert np.argmax(scores) == 5
    assert scores[4] == 0


def test_the_score_is_the_sum_over_distinct_items_of_the_history():
    ranker = LinearRanker.fit(catalogue(), events(), LinearConfig(ridge=5.0))
    often = History(["i4", "i2", "i4", "unknown"], ["click"] * 4, [1.0, 2.0, 3.0, 4.0])
    candidates = Candidates(["i5", "i3", "i9", "unknown", "i0"])
    expected = ranker.weights.toarray()[[2, 4]].sum(axis=0)[[5, 3, 9, 0, 0]]
    expected[3] = 0
    np.testing.assert_allclose(
        score(ranker, often, candidates, Context(5.0)),
        log_scaled(np.maximum(expected, 0).astype(np.float32)),
        atol=1e-6,
    )


def test_evidence_against_counts_nothing():
    of = events()
    against = replace(of, weight=np.where(of.item == 4, -1, 1).astype(np.float32))
    ranker = LinearRanker.fit(catalogue(), against, LinearConfig())
    assert not ranker.weights[4].nnz
    assert not ranker.weights[:, 4].nnz


def test_users_of_many_items_are_damped():
    of = events()
    everything = np.arange(ITEMS)
    greedy = replace(
        of,
        user=np.append(of.user, np.full(ITEMS, len(of.users))).astype(np.int32),
        item=np.append(of.item, everything).astype(np.int32),
        type=np.zeros(len(of) + ITEMS, np.int16),
        weight=np.ones(len(of) + ITEMS, np.float32),
        timestamp=np.arange(len(of) + ITEMS, dtype=np.float64),
        users=(*of.users, "greedy"),
    )

    def moved(damping: float) -> float:
        config = LinearConfig(ridge=5.0, user_damping=damping)
        one, other = (LinearRanker.fit(catalogue(), each, config).weights.toarray() for each in (of, greedy))
        return float(np.abs(one - other).max())

    assert moved(1.0) < moved(0.0)


def test_items_beyond_the_bound_have_no_weights():
    ranker = LinearRanker.fit(catalogue(), events(), LinearConfig(items=6))
    support = dense(events()).sum(axis=0)
    kept = set(np.argsort(-support, kind="stable")[:6].tolist())
    rows, columns = ranker.weights.nonzero()
    assert set(rows) | set(columns) <= kept
    assert ranker.weights.nnz


def test_users_are_drawn_where_their_pairs_are_too_many(monkeypatch):
    monkeypatch.setattr(linear, "DENSE_ITEMS", 0)
    monkeypatch.setattr(linear, "MOST_PAIRS", 300)
    config = LinearConfig(ridge=5.0)
    few = LinearRanker.fit(catalogue(), events(), config)
    assert few.weights.nnz
    again = LinearRanker.fit(catalogue(), events(), config)
    np.testing.assert_array_equal(few.weights.data, again.weights.data)
    monkeypatch.undo()
    everyone = LinearRanker.fit(catalogue(), events(), config)
    assert np.abs(few.weights.toarray() - everyone.weights.toarray()).max() > 0.01


@pytest.mark.parametrize("dense_items", [0, 100])
@pytest.mark.parametrize("ridge", [0.01, 50.0])
def test_users_who_all_had_the_same_are_solved(monkeypatch, dense_items, ridge):
    """All pairs are alike, and the system singular but for the ridge: w = users / (neighbours * users + ridge).

    A float32 of so many users has no room for a small ridge.
    """
    from scipy.sparse import csr_matrix

    monkeypatch.setattr(linear, "DENSE_ITEMS", dense_items)
    users = 300_000
    alike = csr_matrix(np.ones((users, ITEMS), np.float32))
    found = linear._weights(alike, LinearConfig(ridge=ridge)).toarray()
    wanted = users / ((ITEMS - 1) * users + ridge) * (1 - np.eye(ITEMS))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("kept", [0, 1])
def test_next_to_no_events(kept):
    ranker = LinearRanker.fit(catalogue(), events().where(np.arange(kept)), LinearConfig())
    scores = score(ranker, History(["i0"], ["click"], [1.0]), Candidates(["i1", "i2"]), Context(2.0))
    np.testing.assert_array_equal(scores, [0, 0])


def test_new_items_score_nothing_until_the_next_training(bundle):
    ranker = bundle.rankers["linear"]
    ids = list(bundle.catalogue.item_ids)
    request = Request(History(ids[:8], ["click"] * 8, list(range(8))), Candidates(ids[:40]), Context(9.0))
    grown = replace(
        bundle.catalogue,
        item_ids=(*ids, "new"),
        titles=(*bundle.catalogue.titles, "New"),
        categories=(*bundle.catalogue.categories, ""),
        texts=(*bundle.catalogue.texts, "New"),
        train_events=np.append(bundle.catalogue.train_events, 0),
    )
    moved = ranker.on(grown, np.asarray([len(ids)]))
    np.testing.assert_array_equal(moved.score_batch([request])[0], ranker.score_batch([request])[0])
    assert score(moved, request.history, Candidates(["new", ids[9]]), Context(9.0))[0] == 0


@pytest.mark.parametrize("dense", [0, 100])
def test_weighted_rows_are_a_product(monkeypatch, dense):
    """Also where a row comes twice, a column has no entry, or nothing is asked."""
    from scipy.sparse import random as random_matrix

    from liverank.ranking import sparse

    monkeypatch.setattr(sparse, "DENSE_COLUMNS", dense)
    matrix = random_matrix(9, 30, 0.2, format="csr", random_state=1, dtype=np.float32)
    rows, weights = np.asarray([3, 0, 3]), np.asarray([0.5, 2.0, 1.0])
    for columns in (np.arange(30), np.asarray([29, 4, 11, 0]), np.zeros(0, np.int64)):
        expected = (weights @ matrix.toarray()[rows])[columns]
        np.testing.assert_allclose(sparse.weighted_rows(matrix, rows, weights, columns), expected, rtol=1e-6)
    np.testing.assert_allclose(sparse.weighted_rows(matrix, rows, weights), weights @ matrix.toarray()[rows], rtol=1e-6)
    none = sparse.weighted_rows(matrix, np.zeros(0, np.int64), np.zeros(0), np.arange(3))
    np.testing.assert_array_equal(none, [0, 0, 0])
    vector = np.linspace(-1, 1, 30)
    np.testing.assert_allclose(
        sparse.row_products(matrix, rows, vector), matrix.toarray()[rows] @ vector, rtol=1e-5, atol=1e-7
    )
