"""Team draft: both rankings get their turns, fairly."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from liverank.experiments.interleaving import team_draft


@given(st.integers(0, 40).flatmap(lambda n: st.permutations(range(n))), st.text())
def test_it_is_a_permutation_in_which_teams_take_turns(second: list[int], seed: str) -> None:
    first = list(range(len(second)))
    order, teams = team_draft(first, second, seed)
    assert sorted(order) == first
    for turn in range(0, len(order) - 1, 2):
        assert {teams[turn], teams[turn + 1]} == {0, 1}
    left = set(first)
    for row, team in zip(order, teams, strict=True):
        assert row == next(row for row in (first, second)[team] if row in left)
        left.remove(row)


def test_the_seed_alone_decides() -> None:
    rankings = list(range(600)), list(range(599, -1, -1))
    assert team_draft(*rankings, "a") == team_draft(*rankings, "a")
    assert team_draft(*rankings, "a") != team_draft(*rankings, "b")


def test_each_team_has_each_place_equally_often() -> None:
    teams = np.array([team_draft(range(9), range(9), f"list {number}")[1] for number in range(4000)])
    # Four standard deviations of a fair coin.
    assert np.abs(teams.mean(0) - 0.5).max() < 4 * 0.5 / np.sqrt(4000)
    assert abs(np.corrcoef(teams[:, 0], teams[:, 2])[0, 1]) < 4 / np.sqrt(4000)
