"""Groups of users: who is in which, the means of each, and the largest gap with its interval."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.config import EvaluationConfig, GateConfig
from liverank.evaluation.bootstrap import Bootstrap
from liverank.evaluation.groups import OUTSIDE, UserGrouping, find_groupings, measure_groupings
from liverank.ranking.data import LabelledRequest
from liverank.ranking.protocol import Candidates, Context, History, Request

DAY = 86400.0
NOW = 1000 * DAY
SMALL = EvaluationConfig(bootstrap_samples=400, gate=GateConfig(min_requests=2, min_users=2))


def asked(user: str, ages: list[float] = (), **context: str) -> LabelledRequest:
    """A request at `NOW` by a user with events this many days before, the latest last."""
    history = History([f"i{at}" for at in range(len(ages))], (), [NOW - age * DAY for age in ages])
    return LabelledRequest(
        Request(history, Candidates(["a"]), Context(NOW, "", context), user), "r", np.ones(1, np.float32), (), ""
    )


def found(
    requests: list[LabelledRequest], attributes=None, config: EvaluationConfig = SMALL
) -> dict[str, UserGrouping]:
    return {by.name: by for by in find_groupings(requests, attributes or {}, config)}


def members(by: UserGrouping) -> list[str | None]:
    return [None if at == OUTSIDE else by.names[at] for at in by.of]


def test_users_are_told_apart_by_attribute_context_and_behaviour():
    requests = [asked("u", [40, 3, 1], country="DE"), asked("v", country="FR"), asked("w", [50.0] * 60, device="phone")]
    by = found(requests, {"u": {"age": "young"}, "w": {"age": "old", "city": "X"}})
    assert {name: one.kind for name, one in by.items()} == {
        "age": "attribute",
        "city": "attribute",
        "country": "context",
        "history length": "behaviour",
        "events in the last 30 days": "behaviour",
    }
    assert members(by["age"]) == ["young", None, "old"]
    assert members(by["country"]) == ["DE", "FR", None]
    assert members(by["history length"]) == ["history of 1–4", "no history", "history of 50 or more"]
    assert members(by["events in the last 30 days"]) == ["1–2", "0", "0"]


def test_only_frequent_values_are_groups():
    config = SMALL.model_copy(update={"slice_values": 2})
    by = found([asked(f"u{at}", country=name) for at, name in enumerate("aabbbcd")], config=config)
    assert by["country"].names == ("b", "a")
    assert members(by["country"]) == ["a", "a", "b", "b", "b", None, None]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_quarters_of_activity_hold_everybody_in_order(counts):
    by = found([asked(f"u{at}", [1.0] * count) for at, count in enumerate(counts)])["events in the last 30 days"]
    assert len(by.names) <= 4
    assert (by.of >= 0).all()
    bounds = [tuple(map(int, name.split("–"))) for name in by.names]
    for count, at in zip(counts, by.of, strict=True):
        assert bounds[at][0] <= count <= bounds[at][-1]
    assert all(low[-1] < high[0] for low, high in pairwise(bounds))


def grouping(of: list[int], names: str = "ab") -> UserGrouping:
    return UserGrouping("kind", "attribute", tuple(names), np.array(of, np.int64))


def test_means_and_gap_hand_computed():
    mine = np.array([1.0, 0.5, 0.0, 0.2, np.nan, 0.7])
    other = np.array([0.5, 0.5, 0.0, 0.0, np.nan, 0.0])
    bootstrap = Bootstrap([f"u{at}" for at in range(6)], 400)
    (result,) = measure_groupings([grouping([0, 0, 1, 1, 1, OUTSIDE])], mine, other, bootstrap, SMALL)
    a, b = result.groups
    assert (a.name, a.requests, a.users) == ("a", 2, 2)
    assert (b.name, b.requests, b.users) == ("b", 2, 2)  # the request that is not judged does not count
    assert (a.mean.mean, b.mean.mean) == pytest.approx((0.75, 0.1))
    assert (a.gain.mean, b.gain.mean) == pytest.approx((0.25, 0.1))
    assert result.left_out == 1
    assert (result.gap.best, result.gap.worst) == ("a", "b")
    assert result.gap.difference.mean == pytest.approx(0.65)
    assert result.gap.gain_difference.mean == pytest.approx(0.15)
    assert result.gap.difference.low <= 0.65 <= result.gap.difference.high


def test_small_groups_are_left_out():
    values, users = np.ones(6), ["u", "u", "u", "v", "w", "x"]
    (result,) = measure_groupings([grouping([0, 0, 0, 1, 1, 1])], values, values, Bootstrap(users, 100), SMALL)
    assert [one.name for one in result.groups] == ["b"]  # three requests of one user are no group
    assert result.left_out == 3
    assert result.gap is None
    assert measure_groupings([grouping([OUTSIDE] * 6)], values, values, Bootstrap(users, 100), SMALL) == []


def simulation(gap: float, seed: int, groups: int = 6) -> tuple[bool, bool]:
    """Whether the interval of the largest gap lies above zero, and whether an unwidened one would."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(groups), 40)
    values = rng.normal(size=len(of)) + np.where(of == 0, gap, 0.0)
    bootstrap = Bootstrap([f"u{at}" for at in range(len(of))], 1000)
    by = grouping(of.tolist(), "abcdef"[:groups])
    (result,) = measure_groupings([by], values, values, bootstrap, SMALL)
    best, worst = ("abcdef".index(name) for name in (result.gap.best, result.gap.worst))
    pair = (of == best) | (of == worst)
    signs = np.where(of == best, 1.0, -1.0)
    plain = bootstrap.of(pair).interval((values * signs * 2)[pair])
    return result.gap.difference.low > 0, plain.low > 0


def test_no_gap_is_found_where_there_is_none_though_the_pair_was_picked():
    found = [simulation(0.0, seed) for seed in range(40)]
    assert sum(widened for widened, _ in found) <= 5
    assert sum(plain for _, plain in found) > 8  # what the widening is for


def test_a_real_gap_is_found():
    assert all(simulation(1.5, seed)[0] for seed in range(5))


@given(st.integers(0, 99), st.randoms(use_true_random=False))
def test_the_order_of_requests_does_not_matter(seed, random):
    rng = np.random.default_rng(seed)
    values, of, users = rng.random(12), rng.integers(0, 2, 12), [f"u{at % 6}" for at in range(12)]
    order = random.sample(range(12), 12)
    one = measure_groupings([grouping(of.tolist())], values, values, Bootstrap(users, 100), SMALL)
    two = measure_groupings(
        [grouping(of[order].tolist())], values[order], values[order], Bootstrap([users[at] for at in order], 100), SMALL
    )
    for first, second in zip([g for r in one for g in r.groups], [g for r in two for g in r.groups], strict=True):
        assert (first.requests, first.users) == (second.requests, second.users)
        assert first.mean.low == pytest.approx(second.mean.low)
        assert first.mean.mean == pytest.approx(second.mean.mean)
