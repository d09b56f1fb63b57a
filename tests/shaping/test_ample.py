"""Where counting is said to do under several caps, the search finds the same; and no list is led astray."""

from __future__ import annotations

import numpy as np
import pytest

from liverank.shaping import constraints, search
from liverank.shaping.arranging import arrange
from liverank.shaping.exploration import Draw
from liverank.shaping.rules import Cap, Exploration, NewItems, Rules
from tests.shaping.lists import holds, listed

EXPLORATION = Exploration(share=1, temperature=3, keep=0, positions=10, salt="")


def crowd(rng, size):
    """A long list with few values, some of which all but few candidates have."""
    shares = rng.dirichlet([0.5] * 8)
    return listed(
        rng.normal(size=size),
        rng.random(size) < 0.2,
        category="".join(rng.choice(list("qrstuvwx"), size, p=shares)),
        brand="".join(rng.choice(list("abcdefghijklmnop."), size)),
    )


def limits(rng):
    windows = rng.integers(2, 9, 3).tolist()
    caps = [Cap(most=int(rng.integers(1, 4)), within=windows[0]), Cap(attribute="brand", most=1, within=windows[1])]
    return Rules(caps=caps, new=NewItems(least=0.4, within=windows[2]))


def test_counting_and_search_agree(monkeypatch):
    """On the same draws: what may stand on each place, and so each propensity, is the same."""
    rng = np.random.default_rng(2)
    problems = [(crowd(rng, int(rng.integers(12, 60))), limits(rng), str(at)) for at in range(150)]
    ample = constraints.Constraints.ample
    said = []

    def noted(self):
        said.append(ample(self))
        return said[-1]

    monkeypatch.setattr(search, "MOST_LOOKS", 100_000)
    monkeypatch.setattr(search, "MOST_LOOKS_ALTOGETHER", 3_000_000)
    monkeypatch.setattr(search, "MOST_LOOKS_TO_SETTLE", 3_000_000)
    monkeypatch.setattr(constraints.Constraints, "ample", noted)
    counted = [arrange(given, rules, 10, given.among(()), Draw(EXPLORATION, name)) for given, rules, name in problems]
    assert 0.2 < np.mean(said) < 0.9, "both ways are taken"
    monkeypatch.setattr(constraints.Constraints, "ample", lambda self: False)
    for (given, rules, name), one in zip(problems, counted, strict=True):
        other = arrange(given, rules, 10, given.among(()), Draw(EXPLORATION, name))
        assert one.rows == other.rows
        assert one.propensities == pytest.approx(other.propensities)
        assert one.lacking == other.lacking
        assert one.lacking or holds(rules, given, one.rows)
