"""MMR and the DPP choose what their definitions choose, computed the long way."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from liverank.shaping.arranging import arrange
from liverank.shaping.diversity import LEAST_VARIANCE, marginal
from liverank.shaping.listed import standardised
from liverank.shaping.rules import Cap, Diversity, Rules
from tests.shaping.lists import cap_holds, listed, shown


def unit(rng, count, width, none=()):
    vectors = rng.normal(size=(count, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[list(none)] = 0
    return vectors


def gram(vectors):
    """Products of the vectors, each with itself 1, also where it is none."""
    wide = vectors.astype(np.float64)
    found = wide @ wide.T
    np.fill_diagonal(found, 1)
    return found


def mmr_value(scores, products, chosen, row, weight):
    likeness = max([0.0, *(products[row, one] for one in chosen)])
    return weight * scores[row] - (1 - weight) * likeness


def dpp_value(scores, products, chosen, row, weight):
    def volume(rows):
        return np.linalg.slogdet(products[np.ix_(rows, rows)])[1] if rows else 0.0

    gain = volume([*chosen, row]) - volume(chosen)
    return weight * scores[row] + (1 - weight) * max(gain, np.log(LEAST_VARIANCE))


@pytest.mark.parametrize(("method", "value"), [("mmr", mmr_value), ("dpp", dpp_value)])
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.8, 1.0])
def test_the_greedy_choice_is_the_one_of_the_definition(method, value, weight):
    rng = np.random.default_rng(3)
    for _ in range(10):
        vectors = unit(rng, 12, 6, none=(2, 7))
        scores = standardised(rng.normal(size=12))
        given = listed(scores, vectors=vectors)
        rules = Rules(diversity=Diversity(method=method, relevance=weight, depth=5))
        rows = arrange(given, rules, 5, given.among(())).rows
        products = gram(vectors)
        values = standardised(given.scores)
        for at, row in enumerate(rows):
            left = set(range(12)) - set(rows[:at])
            worth = {one: value(values, products, rows[:at], one, weight) for one in left}
            # Vectors are float32: what is closer than that is a tie.
            assert worth[row] > max(worth.values()) - 1e-4


def test_twins_are_kept_apart_and_what_has_no_vector_is_like_nothing():
    vectors = [[1, 0], [1, 0], [0, 1], [0, 0], [0, 0]]
    given = listed([5, 4.9, 4.5, 4.4, 4.3], vectors=vectors)
    for method in ("mmr", "dpp"):
        rules = Rules(diversity=Diversity(method=method, relevance=0.3, depth=5))
        assert shown(arrange(given, rules, None, given.among(())), given) == "acdeb"
    assert shown(arrange(given, Rules(), None, given.among(())), given) == "abcde"


def test_behind_the_depth_the_scores_decide():
    given = listed([5, 4, 3, 2], vectors=[[1, 0], [1, 0], [1, 0], [0, 1]])
    rules = Rules(diversity=Diversity(relevance=0.1, depth=2))
    assert shown(arrange(given, rules, None, given.among(())), given) == "adbc"


def test_a_pin_counts_among_what_is_chosen():
    given = listed([5, 4, 3], vectors=[[1, 0], [0, 1], [1, 0]])
    rules = Rules(pin=["c"], diversity=Diversity(relevance=0.2, depth=3))
    assert shown(arrange(given, rules, None, given.among(())), given) == "cba"


def test_the_variance_of_the_incremental_factor_is_the_determinants():
    rng = np.random.default_rng(0)
    vectors = unit(rng, 8, 5)
    process = marginal(Diversity(method="dpp", relevance=0, depth=8), np.zeros(8), vectors)
    products, chosen = gram(vectors), []
    for row in (3, 1, 6):
        process.chose(row)
        chosen.append(row)
    for row in (0, 2, 4):
        with_it = np.linalg.det(products[np.ix_([*chosen, row], [*chosen, row])])
        ratio = with_it / np.linalg.det(products[np.ix_(chosen, chosen)])
        assert process.values()[row] == pytest.approx(np.log(ratio), abs=1e-4)


def test_caps_hold_with_diversity():
    rng = np.random.default_rng(1)
    for _ in range(30):
        given = listed(rng.normal(size=20), vectors=unit(rng, 20, 4), category="".join(rng.choice(list("xyz"), 20)))
        cap = Cap(most=2, within=6)
        for method in ("mmr", "dpp"):
            rules = Rules(caps=[cap], diversity=Diversity(method=method, relevance=0.5))
            found = arrange(given, rules, 10, given.among(()))
            assert cap_holds(cap, given, found.rows)
            assert found.lacking == []


def test_a_model_without_embeddings_says_so():
    given = listed([1, 2])
    rules = Rules(diversity=Diversity())
    assert arrange(given, rules, None, given.among(())).lacking == ["rules: diversity: the model has no embeddings"]
    bare = msgspec.structs.replace(rules, diversity=None)
    assert arrange(given, bare, None, given.among(())).lacking == []
