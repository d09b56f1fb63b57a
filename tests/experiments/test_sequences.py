"""Peeking every hundred lists: what holds, what does not, and what is found; all by simulation with known truth."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy.stats import norm

from liverank.experiments.analysis import LEAST_ANSWERING, LEAST_USERS
from liverank.experiments.ratio import ClusteredRatio
from liverank.experiments.sequences import log_evidence, mixture_variance, p_value, radius
from tests.experiments.traffic import Floats, Sums, traffic

ALPHA = 0.05
EVERY = 100
LISTS, USERS, RUNS = 12_000, 3_000, 300
TIGHTEST = 5_000.0

Errors = Callable[[Sums], Floats]


@cache
def runs(means: tuple[float, float]) -> list[tuple[Sums, Sums]]:
    rng = np.random.default_rng(11)
    made = [traffic(rng, LISTS, USERS, means) for _ in range(RUNS)]
    return [(run.sums(0, EVERY), run.sums(1, EVERY)) for run in made]


def begun(pair: tuple[Sums, Sums]) -> np.ndarray:
    return np.all([(of.users >= LEAST_USERS) & (of.positive >= LEAST_ANSWERING) for of in pair], axis=0)


def misses(means: tuple[float, float], truth: float, half: Callable[[Floats, Floats], Floats], error: Errors) -> float:
    """The share of runs in which an interval ever leaves out the truth."""
    ever = 0
    for control, new in runs(means):
        look = begun((control, new))
        width = half(np.hypot(error(control), error(new)), control.lists + new.lists)
        ever += bool((np.abs(new.mean - control.mean - truth) > width)[look].any())
    return ever / RUNS


def by_users(of: Sums) -> Floats:
    return of.error


def sequence(error: Floats, seen: Floats) -> Floats:
    return radius(error, seen, ALPHA, TIGHTEST)


def fixed(error: Floats, seen: Floats) -> Floats:
    return norm.ppf(1 - ALPHA / 2) * error


def test_looking_again_and_again_finds_nothing_where_nothing_is() -> None:
    assert misses((0.1, 0.1), 0.0, sequence, by_users) <= ALPHA


def test_a_fixed_sample_test_looked_at_likewise_finds_what_is_not_there() -> None:
    assert misses((0.1, 0.1), 0.0, fixed, by_users) > 3 * ALPHA


def test_users_are_the_unit_lists_are_not() -> None:
    assert misses((0.1, 0.1), 0.0, sequence, lambda of: of.error_of_lists) > 1.5 * ALPHA


def test_the_sequence_covers_the_true_difference_at_all_times() -> None:
    assert misses((0.1, 0.14), 0.04, sequence, by_users) <= ALPHA


def test_a_difference_is_found() -> None:
    assert misses((0.1, 0.14), 0.0, sequence, by_users) > 0.9


def test_the_kept_sums_are_those_of_all_lists() -> None:
    made = traffic(np.random.default_rng(3), 2000, 300, (0.1, 0.2))
    kept = ClusteredRatio()
    for user, click in zip(made.user.tolist(), made.click.tolist(), strict=True):
        if made.variant[user] == 1:
            # The answer comes after its list.
            kept.add(str(user), 0.0, 1.0)
            kept.add(str(user), click)
    last = made.sums(1, 2000)
    assert (kept.users, kept.positive, kept.lists) == (last.users[-1], last.positive[-1], last.lists[-1])
    assert kept.mean == pytest.approx(last.mean[-1])
    assert kept.error == pytest.approx(last.error[-1])


def test_the_error_of_users_with_one_list_each_is_the_textbooks() -> None:
    ratio = ClusteredRatio()
    outcomes = [0.0, 1.0, 1.0, 0.0, 1.0]
    for user, outcome in enumerate(outcomes):
        ratio.add(str(user), outcome, 1.0)
    assert ratio.error == pytest.approx(np.std(outcomes, ddof=1) / np.sqrt(5))


def test_the_radius_is_the_papers_formula() -> None:
    t, spread, rho2 = 400.0, 0.7, mixture_variance(ALPHA, 1000)
    expected = spread * np.sqrt(2 * (t * rho2 + 1) / (t**2 * rho2) * np.log(np.sqrt(t * rho2 + 1) / ALPHA))
    assert radius(spread / np.sqrt(t), t, ALPHA, 1000) == pytest.approx(expected)


def test_the_sequence_is_tightest_where_it_was_asked_to_be() -> None:
    at_ten_thousand = [radius(0.01, 10_000.0, ALPHA, tightest) for tightest in (100.0, 10_000.0, 1e6)]
    assert at_ten_thousand[1] == min(at_ten_thousand)


def test_the_p_value_is_the_level_at_which_the_sequence_touches_nothing() -> None:
    half = radius(0.01, 5000.0, ALPHA, 2000.0)
    assert p_value(half, 0.01, 5000.0, ALPHA, 2000.0) == pytest.approx(ALPHA)
    assert p_value(0.0, 0.01, 5000.0, ALPHA, 2000.0) == 1.0


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.7, 0.2, 0.1)])
def test_evidence_against_true_shares_seldom_grows_however_often_one_looks(shares: tuple[float, ...]) -> None:
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(400):
        draws = np.cumsum(rng.multinomial(1, shares, 1500), 0)[9::10]
        alarms += max(log_evidence(counts, shares, 100.0) for counts in draws) >= np.log(1 / ALPHA)
    assert alarms / 400 <= ALPHA


def test_evidence_against_wrong_shares_grows() -> None:
    rng = np.random.default_rng(5)
    counts = rng.multinomial(20_000, (0.52, 0.48))
    assert log_evidence(counts, (0.5, 0.5), 1000.0) > np.log(1000)


def test_evidence_is_the_ratio_of_the_mixtures_chance() -> None:
    # A mixture by hand: Beta(1, 1) over two draws of one kind has a third of them alike, a fair coin a quarter.
    assert log_evidence([2, 0], [0.5, 0.5], 2.0) == pytest.approx(np.log((1 / 3) / (1 / 4)))
