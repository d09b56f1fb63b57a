"""Who gets which variant."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from scipy.stats import chisquare

from liverank.experiments.assignment import Assignment

USERS = [f"user-{number}" for number in range(20_000)]


def drawn(shares: dict[str, float], salt: str = "spring") -> list[str]:
    assignment = Assignment(salt, shares)
    return [assignment.variant(user) for user in USERS]


@pytest.mark.parametrize("shares", [{"control": 0.5, "new": 0.5}, {"control": 0.7, "a": 0.2, "b": 0.1}])
def test_variants_get_their_shares(shares: dict[str, float]) -> None:
    counts = Counter(drawn(shares))
    observed = [counts[name] for name in shares]
    assert chisquare(observed, [share * len(USERS) for share in shares.values()]).pvalue > 0.001


def test_another_process_draws_the_same() -> None:
    shares = {"control": 0.5, "new": 0.5}
    code = (
        "from liverank.experiments.assignment import Assignment\n"
        f"print(''.join(Assignment('spring', {shares}).variant(f'user-{{n}}')[0] for n in range(500)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "".join(variant[0] for variant in drawn(shares)[:500])


def test_salts_draw_independently() -> None:
    shares = {"control": 0.5, "new": 0.5}
    pairs = Counter(zip(drawn(shares), drawn(shares, "autumn"), strict=True))
    assert chisquare(list(pairs.values())).pvalue > 0.001


def test_a_larger_share_moves_users_to_that_variant_alone() -> None:
    before = drawn({"control": 0.8, "a": 0.1, "b": 0.1})
    after = drawn({"control": 0.4 / 0.9 * 0.8 * 2, "a": 0.2, "b": 0.1 * 0.8 / 0.9})
    moves = Counter((one, other) for one, other in zip(before, after, strict=True) if one != other)
    assert {to for _, to in moves} == {"a"}
    assert moves.total() / len(USERS) == pytest.approx(0.1, abs=0.01)
