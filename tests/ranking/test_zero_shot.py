"""The zero-shot ranker: cosines, whatever the order and the number of candidates."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from liverank.ranking.data import encode
from liverank.ranking.protocol import Candidates, Context, History, Request, score
from liverank.ranking.zero_shot import SHRUNK_BY, ZeroShotRanker
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
    centred = embeddings - embeddings.sum(0) / (ITEMS + SHRUNK_BY)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    profile = 0.8 * centred[3] + centred[4]
    rows = of.catalogue.rows(names)
    cosines = np.where(rows >= 0, centred[rows] @ profile / np.linalg.norm(profile), 0)
    np.testing.assert_allclose(scores, cosines, atol=2e-6)


def test_the_blends_signal_is_the_plain_cosine():
    of = ranker()
    history = History(["i3", "i4"], ["click"] * 2, [1.0, 2.0])
    request = encode(of.catalogue, Request(history, Candidates(of.catalogue.item_ids[:20]), Context(3.0)))
    embeddings = of.catalogue.embedded.astype(np.float64)
    profile = 0.8 * embeddings[3] + embeddings[4]
    expected = embeddings[:20] @ profile / np.linalg.norm(profile)
    np.testing.assert_allclose(of.similarity(request), expected, atol=1e-6)


def test_what_all_texts_have_in_common_says_nothing():
    """Every text lies near one direction; from the centre those of one kind are near, the others far."""
    rng = np.random.default_rng(5)
    common, kinds = rng.standard_normal(WIDTH), rng.standard_normal((2, WIDTH)) / 4
    drawn = np.stack([common + kinds[at % 2] + rng.standard_normal(WIDTH) / 40 for at in range(40)])
    drawn = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    catalogue = dataclasses.replace(catalogue_of(*(f"text {at}" for at in range(40))), embeddings=drawn)
    scores = score(ZeroShotRanker(catalogue, NoEncoder()), History(["i0"]), Candidates(["i2", "i3"]), Context(3.0))
    assert scores[0] > 0.8
    assert scores[1] < -0.4


def test_new_items_do_not_move_the_centre(tmp_path):
    of = ranker()
    grown = np.vstack([of.catalogue.embedded, np.ones((50, WIDTH), np.float32) / WIDTH**0.5])
    texts = [*of.catalogue.texts, *(f"new {at}" for at in range(50))]
    more = of.on(dataclasses.replace(catalogue_of(*texts), embeddings=grown), np.arange(ITEMS, ITEMS + 50))
    history = History(["i3"], ["click"], [1.0])
    before = score(of, history, Candidates(["i5", "i6"]), Context(3.0))
    np.testing.assert_array_equal(score(more, history, Candidates(["i5", "i6"]), Context(3.0)), before)
    more.save(tmp_path)
    again = ZeroShotRanker.load(tmp_path, more.catalogue, NoEncoder())
    np.testing.assert_array_equal(score(again, history, Candidates(["i5", "i6"]), Context(3.0)), before)


def test_items_without_a_text_score_nothing():
    of = ranker()
    embeddings = of.catalogue.embedded.copy()
    embeddings[[3, 7]] = 0
    silent = ZeroShotRanker(dataclasses.replace(of.catalogue, embeddings=embeddings), NoEncoder())
    assert score(silent, History(["i4"]), Candidates(["i7", "i8"]), Context(3.0))[0] == 0
    assert score(silent, History(["i3"]), Candidates(["i7", "i8"]), Context(3.0)).tolist() == [0, 0]


def test_a_catalogue_without_embeddings_is_refused():
    with pytest.raises(ValueError, match="no embeddings yet"):
        ZeroShotRanker(catalogue_of("red", "green"), NoEncoder())


class Compass:
    """Encodes "north" and "east" as two directions that stand at right angles."""

    def encode(self, texts):
        return np.array([[float(text == "north"), float(text == "east")] for text in texts], np.float32)

    encode_remembered = encode


def test_a_query_is_compared_with_known_items_and_with_texts_that_came_along():
    embeddings = np.array([[0.6, 0.8], [0, 0]], np.float32)
    catalogue = dataclasses.replace(catalogue_of("north-east", ""), embeddings=embeddings)
    given = Candidates(["i0", "i1", "new", "silent"], texts={"new": "east"})
    for history in (History(), History(["i0"], ["click"], [1.0])):
        request = encode(catalogue, Request(history, given, Context(3.0)))
        for query, expected in (("north", [0.6, 0, 0, 0]), ("east", [0.8, 0, 1, 0])):
            np.testing.assert_allclose(ZeroShotRanker(catalogue, Compass()).query_scores(query, request), expected)
