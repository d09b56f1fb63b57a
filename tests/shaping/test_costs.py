"""What rules cost: by hand, and together the whole loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as drawn_from
from hypothesis import settings

from liverank.shaping.arranging import arrange
from liverank.shaping.costs import costs
from liverank.shaping.exploration import Draw
from liverank.shaping.listed import standardised
from liverank.shaping.rules import Boost, Cap, Exploration, Rules
from tests.shaping.lists import listed, problems


def dcg(scores, rows):
    relevance = standardised(scores) - standardised(scores).min()
    return sum(relevance[row] / np.log2(at + 2) for at, row in enumerate(rows))


def test_each_rule_pays_for_what_it_changes():
    given = listed([3, 2, 1, 0], category="xxyy")
    rules, excluded = Rules(pin=["d"], caps=[Cap(most=1, within=2)]), given.among("a")
    found = costs(given, rules, 3, excluded, arrange(given, rules, 3, excluded))
    scores = given.scores
    assert list(found) == ["exclude", "pin", "caps"]
    assert found["exclude"] == pytest.approx(dcg(scores, [0, 1, 2]) - dcg(scores, [1, 2, 3]))
    assert found["pin"] == pytest.approx(dcg(scores, [1, 2, 3]) - dcg(scores, [3, 1, 2]))
    assert found["caps"] == pytest.approx(0)


def test_a_boost_and_a_draw_cost_too():
    given = listed([3, 2, 1])
    nothing = given.among(())
    rules = Rules(boost=[Boost(item_id="c", add=9.0)])
    shown = arrange(
        given, rules, None, nothing, Draw(Exploration(share=1, temperature=50, keep=0, positions=3, salt=""), "i3")
    )
    found = costs(given, rules, None, nothing, shown)
    assert list(found) == ["boost", "exploration"]
    assert found["boost"] == pytest.approx(dcg(given.scores, [0, 1, 2]) - dcg(given.scores, [2, 0, 1]))
    assert found["exploration"] == pytest.approx(dcg(given.scores, [2, 0, 1]) - dcg(given.scores, shown.rows))


@settings(max_examples=100, deadline=None)
@drawn_from(problems())
def test_they_add_up_to_the_whole_loss(problem):
    given, rules, excluded, k = problem
    shown = arrange(given, rules, k, excluded)
    best = np.argsort(-given.scores, kind="stable")[: k or len(given)]
    loss = dcg(given.scores, best) - dcg(given.scores, shown.rows)
    found = costs(given, rules, k, excluded, shown)
    assert sum(found.values()) == pytest.approx(loss, abs=1e-9)
    assert loss >= -1e-9
