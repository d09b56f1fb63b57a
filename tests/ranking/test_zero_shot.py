"""The zero-shot ranker: cosines, whatever the order and the number of candidates."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from liverank.ranking.protocol import Candidates, Context, History, score
from liverank.ranking.zero_shot import ZeroShotRanker
from tests.ranking.small_model import NoEncoder
from tests.ranking.test_count import catalogue_of

ITEMS, WIDTH = 301, 67
"""Odd sizes: what a product of matrices rounds otherwise at its edges."""


def ranker() -> ZeroShotRanker:
    drawn = np.random.default_rng(3).standard_normal((ITEMS, WIDTH)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    catalogue = catalogue_of(*(f"text {at}" for at in range(ITEMS)))
    return ZeroShotRanker(dataclasses.replace(catalogue, embeddings=drawn), NoEncoder())


@pytest.mark.parametrize("candidates", [1, 20, 149, 150, 151, 200, ITEMS])
@pytest.mark.parametrize("unknown", [False, True])
def test_neither_order_nor_number_changes_a_score(candidates, unknown):
    """Bit for bit with few candidates and with most of the catalogue; to rounding between the two."""
    rng, of = np.random.default_rng(candidates), ranker()
    names = [*rng.choice(of.catalogue.item_ids, candidates, replace=False), *["unknown"] * unknown]
    history = History(["i3", "i4"], ["click"] * 2, [1.0, 2.0])
    scores = score(of, history, Candidates(names), Context(3.0))
    for _ in range(5):
        order = rng.permutation(len(names))
        moved = score(of, history, Candidates([names[at] for at in order]), Context(3.0))
        np.testing.assert_array_equal(moved, scores[order])
    embeddings = of.catalogue.embedded.astype(np.float64)
    profile = 0.8 * embeddings[3] + embeddings[4]
    rows = of.catalogue.rows(names)
    cosines = np.where(rows >= 0, embeddings[rows] @ profile / np.linalg.norm(profile), 0)
    np.testing.assert_allclose(scores, cosines, atol=1e-6)


def test_a_catalogue_without_embeddings_is_refused():
    with pytest.raises(ValueError, match="no embeddings yet"):
        ZeroShotRanker(catalogue_of("red", "green"), NoEncoder())
