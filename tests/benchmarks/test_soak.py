"""The soak: a short one with every part real, what its checks find, and how its slope judges known memory."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.soak.checks import (
    Verdict,
    events_check,
    faults_check,
    memory_check,
    rankings_check,
    requests_check,
    swaps_check,
)
from benchmarks.soak.memory import SEEN_MIB_AN_HOUR, Memory, Slope, slope
from benchmarks.soak.page import part
from benchmarks.soak.plan import Plan
from benchmarks.soak.run import Outcome, run
from benchmarks.soak.traffic import USERS, Tally, decoded
from benchmarks.soak.world import Size

SMALL = Size(users=60, items=150, lists=4, epochs=0)
SECONDS = 30.0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_short_soak_loses_nothing(tmp_path):
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server: install Debian's package redis-server")
    # At a fifth of the capacity, so that restarts and swaps have their cores: what is lost, and not how much is borne,
    # is what half a minute can tell.
    found = run(tmp_path, Plan(SECONDS, share=0.2), SMALL)
    # In half a minute servers are still warming up: their memory is sampled, and not judged.
    checks = {check.name: check for check in found.checks if not check.name.startswith("memory")}
    assert [check for check in checks.values() if not check.passed] == []
    assert len(checks) == len(found.checks) - 2
    assert "requests that met the faults" in checks
    assert sum(map(len, found.tally.milliseconds.values())) > 0
    assert len(found.tally.acknowledged) > found.plan.events * USERS  # those before the soak, and its own
    assert [what.partition(": ")[2].partition(" ")[0] for what in found.happened if "swap" not in what] == [
        "Redis",
        "server",
        "Redis",
    ]
    text = part("where\n", "Redis 7", found)
    assert "| acknowledged events | " in text
    assert "| server 2 | " in text


def event(name: str, item: str = "a"):
    fields = {"user_id": "u", "item_id": item, "type": "click", "timestamp": "2026-03-01T12:00:00Z"}
    return decoded({"event_id": name, **fields})


def acknowledged(*names: str) -> Tally:
    return Tally(acknowledged={name: event(name) for name in names})


def test_events_are_compared_by_number_and_content():
    tally = acknowledged("1", "2")
    assert events_check(tally, {"u": [event("2"), event("1")]}).passed
    for kept, says in (
        ([event("1")], "1 lost (2)"),
        ([event("1"), event("2"), event("2")], "1 doubled (2)"),
        ([event("1"), event("2", "b")], "1 altered (2)"),
        ([event("1"), event("2"), event("3")], "1 never sent (3)"),
    ):
        check = events_check(tally, {"u": kept})
        assert (check.passed, check.found) == (False, says)
    # One whose sender never had an answer may be there.
    assert events_check(replace(tally, unknown={"3"}), {"u": [event("1"), event("2"), event("3")]}).passed


def test_what_else_fails_a_soak():
    tally = acknowledged()
    assert requests_check(tally).passed
    assert rankings_check(tally).passed
    tally.fail("rank: 500 Internal error")
    assert requests_check(tally).found == "1 times rank: 500 Internal error"
    tally.refusals["rank: the live store is away"] += 1
    assert not rankings_check(tally).passed
    assert swaps_check(3, [], 3).passed
    assert not swaps_check(3, [], 2).passed


@pytest.mark.parametrize(
    ("unreachable", "refusals", "degraded", "passes"),
    [
        (1, {"events: Nothing was taken, the live store cannot write: x": 1}, {}, True),
        (1, {}, {"history: the live store cannot be read": 1}, True),
        (0, {}, {"history: the live store cannot be read": 1}, False),
        (1, {"rank: The queue is full.": 1}, {"texts: 1 candidates were scored without their text": 1}, False),
    ],
)
def test_a_soak_whose_faults_hit_nobody_fails(unreachable, refusals, degraded, passes):
    tally = Tally(unreachable=unreachable, refusals=Counter(refusals), degraded=Counter(degraded))
    assert faults_check(tally).failed is not passes


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Slope(5.0, -40.0, 50.0), Verdict.PASSED),
        (Slope(20.0, 1.0, 39.0), Verdict.FAILED),
        (Slope(5.0, -245.0, 255.0), Verdict.CANNOT_TELL),
        (Slope(400.0, 150.0, 650.0), Verdict.FAILED),
        (Slope(0.0, -SEEN_MIB_AN_HOUR, SEEN_MIB_AN_HOUR), Verdict.PASSED),
        (None, Verdict.CANNOT_TELL),
    ],
)
def test_memory_that_is_not_seen_to_grow_passes_only_where_growth_would_be_seen(found, verdict):
    check = memory_check(Memory("server 1", [1.0], [1.0]), found)
    assert (check.verdict, check.passed, check.failed) == (verdict, verdict == "passed", verdict == "failed")


def test_the_page_says_where_it_cannot_tell():
    memory = Memory("server 1", [20.0], [1.0])
    found = Outcome(
        Plan(30.0), 30.0, 100.0, 70.0, Tally(), [memory], [memory_check(memory, None), requests_check(Tally())]
    )
    text = part("where\n", "Redis 7", found)
    assert "| memory of server 1 | too few samples | **cannot tell** |" in text
    assert "| none of 0 | passed |" in text
    assert "requests at 70% of the 100 requests" in text


def wandering(draw, samples: int, memory: float = 0.8):
    """Autoregressive noise of the first order with a standard deviation of 5 MiB."""
    noise, at = np.zeros(samples), 0.0
    for place, step in enumerate(draw.normal(0, 5 * np.sqrt(1 - memory**2), samples)):
        at = memory * at + step
        noise[place] = at
    return noise


@pytest.mark.parametrize("leak", [0.0, 120.0])
def test_the_interval_holds_the_true_slope_though_samples_depend_on_each_other(leak):
    """300 samples of 2 s; an interval that took them for independent would hold the truth half of the time."""
    draw, seconds = np.random.default_rng(7), np.arange(300) * 2.0
    found = [slope(seconds, 900 + leak * seconds / 3600 + wandering(draw, 300)) for _ in range(400)]
    held = np.mean([of.low <= leak <= of.high for of in found])
    # 95 % of 400, by five standard errors of 1.1 % each.
    assert held > 0.895
    assert np.mean([of.grows for of in found]) == pytest.approx(1.0 if leak else 0.025, abs=0.05)


def test_a_slope_by_hand():
    steady = slope(np.arange(40.0) * 90, np.arange(40.0))
    assert (steady.low, steady.estimate, steady.high) == pytest.approx((40, 40, 40))
    assert steady.grows
    assert slope([0.0] * 19, [0.0] * 19) is None


def test_only_the_last_third_is_judged():
    seconds = [float(second) for second in range(300)]
    memory = Memory("server 1", seconds, [1000 + min(second, 199) for second in seconds])
    judged = memory.last_third(300)
    assert judged.estimate == pytest.approx(0)
    assert not judged.grows


def test_a_plan_scales_and_leaves_the_last_third_to_swaps():
    long = Plan(1800)
    assert list(long.swaps()) == [120.0 * number for number in range(1, 15)]
    for plan in (long, Plan(SECONDS)):
        faults = [*plan.redis_restarts, plan.kill]
        assert max(faults) < plan.seconds / 2
        assert list(plan.swaps())
