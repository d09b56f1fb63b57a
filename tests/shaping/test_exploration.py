"""Propensities are the chances with which lists are drawn, and judge other policies without bias."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from liverank.shaping.arranging import arrange
from liverank.shaping.exploration import Draw, uniform
from liverank.shaping.listed import standardised
from liverank.shaping.rules import Cap, Diversity, Exploration, NewItems, Pin, Rules
from tests.shaping.lists import holds, listed, shown

BOLD = Exploration(share=1.0, temperature=0.7, keep=0, positions=10, salt="")
SOME = Exploration(share=0.3, temperature=1.0, keep=1, positions=2, salt="s")


def drawn(given, exploration, name, rules=None, k=None):
    return arrange(given, rules or Rules(), k, given.among(()), Draw(exploration, name))


# The draws.


def test_uniform_numbers_are_uniform_and_their_own():
    numbers = np.array([uniform("s", f"{at:032x}", "1") for at in range(20_000)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert np.abs(np.histogram(numbers, 20, (0, 1))[0] / 1000 - 1).max() < 0.15
    others = np.array([uniform("s", f"{at:032x}", "2") for at in range(20_000)])
    assert abs(np.corrcoef(numbers, others)[0, 1]) < 0.03
    assert uniform("s", "a", "1") == uniform("s", "a", "1") != uniform("t", "a", "1")


def test_the_same_impression_draws_the_same_list():
    given = listed(range(8))
    lists = [shown(drawn(given, BOLD, f"i{at}"), given) for at in range(50)]
    assert lists == [shown(drawn(given, BOLD, f"i{at}"), given) for at in range(50)]
    assert len(set(lists)) > 20


def test_kept_positions_are_the_best_and_the_rest_is_by_score():
    given = listed([8, 7, 6, 5, 4, 3])
    for at in range(200):
        found = drawn(given, SOME, f"i{at}")
        assert found.rows[0] == 0
        assert found.rows[3:] == sorted(found.rows[3:])
        assert found.propensities[0] == 1
        assert found.propensities[3:] == [1, 1, 1]
        assert all(0 < one < 1 for one in found.propensities[1:3])


def test_a_cold_draw_is_the_order_by_score():
    given = listed([1, 3, 2])
    cold = Exploration(share=1.0, temperature=1e-3, keep=0, positions=3, salt="")
    found = drawn(given, cold, "i")
    assert (shown(found, given), found.propensities) == ("bca", [1, 1, 1])


# The propensities.


def test_a_propensity_is_the_plackett_luce_chance_given_those_above():
    given = listed([2, 0, 1, 5])
    weights = np.exp(standardised(given.scores) / 0.7)
    found = drawn(given, BOLD, "i")
    left = weights.sum()
    for row, propensity in zip(found.rows, found.propensities, strict=True):
        assert propensity == pytest.approx(weights[row] / left)
        left -= weights[row]


def test_a_share_mixes_the_chances_of_whole_prefixes():
    given = listed([3, 2, 1, 0])
    weights = np.exp(standardised(given.scores) / 1.0)
    seen = set()
    for at in range(300):
        found = drawn(given, SOME, f"i{at}")
        seen.add(tuple(found.rows))
        first, second = found.rows[1:3]
        luce = weights[first] / weights[1:].sum()
        best = float(first == 1)
        one = 0.3 * luce + 0.7 * best
        assert found.propensities[1] == pytest.approx(one)
        luce *= weights[second] / (weights[1:].sum() - weights[first])
        two = 0.3 * luce + 0.7 * best * (second == (2 if first == 1 else 1))
        assert found.propensities[2] == pytest.approx(two / one)
    assert len(seen) == 6


RULES = [
    Rules(),
    Rules(caps=[Cap(most=1, within=3)], new=NewItems(least=0.5, within=4)),
    Rules(caps=[Cap(most=2, within=4), Cap(attribute="brand", most=2, within=3)], pin=[Pin(item_id="d", position=2)]),
    Rules(caps=[Cap(most=1, within=2)], diversity=Diversity(method="dpp", relevance=0.5, depth=3)),
]


@pytest.mark.parametrize("rules", RULES, ids=["none", "cap and new", "two caps and a pin", "cap and dpp"])
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_lists_come_as_often_as_their_propensities_say(rules, share):
    """The products over a list add up to 1 over all lists, and are how often each comes."""
    given = listed(
        [3, 2.5, 2, 1, 0],
        [False, True, False, True, True],
        np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0][:, :3],
        category="xxyyz",
        brand="ppqqp",
    )
    exploration = Exploration(share=share, temperature=1.0, keep=0, positions=4, salt="")
    counts, chances, draws = Counter(), {}, 2500
    for at in range(draws):
        found = drawn(given, exploration, f"i{at}", rules, 4)
        rows = tuple(found.rows)
        counts[rows] += 1
        chances[rows] = float(np.prod(found.propensities))
        assert holds(rules, given, list(rows), but=(3,))
    assert sum(chances.values()) == pytest.approx(1, abs=0.02)
    for rows, chance in chances.items():
        assert counts[rows] / draws == pytest.approx(chance, abs=4 * np.sqrt(chance / draws) + 1e-3)


# Judging another policy.


def test_inverse_propensities_recover_the_value_of_another_policy():
    """Lists under a cap are drawn by a model that is wrong; a better one is judged on their clicks.

    The value of a policy is the clicks on its first two lines. The other policy is followed by a list with the product
    of these lines' propensities; taken as 1, they tell what the logged lists were worth where both agree, no more.
    """
    rng = np.random.default_rng(7)
    exploration = Exploration(share=0.8, temperature=2.0, keep=0, positions=2, salt="")
    rules = Rules(caps=[Cap(most=1, within=2)])
    truth, model = np.array([0.1, 0.2, 0.3, 0.5, 0.6]), np.array([2.0, 1.5, 2.2, 1.4, 1.2])
    worth, estimates, naive, logged = [], [], [], []
    for at in range(8000):
        shift = rng.normal(0, 0.4, 5)
        chances = 1 / (1 + np.exp(-(np.log(truth / (1 - truth)) + shift)))
        given = listed(model + rng.normal(0, 0.5, 5), category="xxyyx")
        better = arrange(listed(chances, category="xxyyx"), rules, 2, given.among(())).rows
        worth.append(chances[better].sum())
        found = drawn(given, exploration, f"i{at}", rules, 2)
        clicks = (rng.random(2) < chances[found.rows]).sum()
        followed = found.rows == better
        estimates.append(followed * clicks / np.prod(found.propensities))
        naive.append(followed * clicks)
        logged.append(clicks)
    value, error = np.mean(worth), np.std(estimates) / np.sqrt(len(estimates))
    assert 1.96 * error < 0.2 * value
    assert abs(np.mean(estimates) - value) < 1.96 * error
    assert abs(np.mean(naive) - value) > 10 * np.std(naive) / np.sqrt(len(naive))
    assert abs(np.mean(logged) - value) > 10 * np.std(logged) / np.sqrt(len(logged))
