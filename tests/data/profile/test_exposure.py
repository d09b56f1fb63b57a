"""Funnel and position bias: by hand, and against the curve that the synthetic world's users really have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.data.profile.exposure import corrected, power, wilson
from liverank.data.profile.run import profile
from liverank.data.synthetic import generate
from liverank.data.synthetic_settings import SyntheticSettings
from tests.data.profile.folder import at, event, figures, shown

POWER = 0.8


def test_the_funnel_by_hand(tmp_path):
    records = [
        shown("l1", ["a", "b", "c"], surface="home"),
        shown("l2", ["a", "b"], surface="search"),
        event("u", "a", impression_id="l1", kind="view"),
        event("u", "b", impression_id="l1", kind="purchase"),
        event("u", "b", at(seconds=1), impression_id="l1"),
        event("u", "a", impression_id="l2"),
        event("u", "z", impression_id="l2"),
        event("u", "b", impression_id="l2", kind="dislike"),
        event("u", "a", impression_id="lost"),
        event("u", "a"),
    ]
    found = figures(tmp_path, *records)["exposure"]
    every, home, search = found["funnel"]
    assert every == {"surface": None, "shown": 5, "view": 3, "click": 2, "cart": 1, "purchase": 1}
    assert home == {"surface": "home", "shown": 3, "view": 2, "click": 1, "cart": 1, "purchase": 1}
    assert search == {"surface": "search", "shown": 2, "view": 1, "click": 1, "cart": 0, "purchase": 0}
    assert found["answered"] == {"events": 8, "linked": 7, "lost": 1}
    assert [(row["position"], row["n"], row["clicks"]) for row in found["position"]["all"]] == [
        (1, 2, 1),
        (2, 2, 1),
        (3, 1, 0),
    ]
    assert found["position"]["corrected"] == []
    assert found["propensity"]["told"] == 0


@pytest.mark.parametrize(
    ("chances", "random"),
    [
        ([1 / 3, 1 / 2, 1.0], True),
        ([1 / 30, 1 / 29, 1 / 28], True),
        ([0.2, 0.2, 0.2], True),
        ([1.0, 1.0, 1.0], False),
        ([0.5, 0.3, 1.0], False),
        ([None, None, None], False),
        ([0.0, 1.5, 0.5], False),
    ],
)
def test_lists_in_random_order_are_told_by_their_propensities(tmp_path, chances, random):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from liverank.data.profile.run import profile
    from tests.data.profile.folder import folder

    path = folder(tmp_path, shown("l", ["a", "b", "c"]), event("u", "a", impression_id="l"))
    lists = pq.read_table(path / "impressions.parquet")
    lines = [dict(line, propensity=chance) for line, chance in zip(lists["shown"][0].as_py(), chances, strict=True)]
    lists = lists.set_column(3, lists.field("shown"), pa.array([lines], lists.field("shown").type))
    pq.write_table(lists, path / "impressions.parquet")
    found = profile(path)["exposure"]["propensity"]
    assert found["random"] == (3 if random else 0)
    assert found["broken"] == sum(chance is not None and not 0 < chance <= 1 for chance in chances)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("position")
    generate(SyntheticSettings(users=3000, items=300, days=20, seed=3, position_power=POWER, explore_share=0.4), folder)
    return profile(folder)["exposure"]


def test_random_lists_recover_the_curve_of_the_world(world):
    """P(looked at) = position ** -power, and a random order puts items of equal worth everywhere."""
    found = world["position"]
    assert found["power"]["error"] < 0.05
    assert abs(found["power"]["value"] - POWER) < 3 * found["power"]["error"]
    truth = np.arange(1, 21) ** -POWER
    top = found["random"][0]["rate"]
    inside = [row["low"] <= top * want <= row["high"] for row, want in zip(found["random"], truth, strict=True)]
    assert sum(inside) >= 17


def test_the_correction_agrees_with_random_lists_where_raw_rates_do_not(world):
    """What is on top is better, so that the raw curve is not the users': weights bring it back."""
    raw, random, mended = (world["position"][name] for name in ("all", "random", "corrected"))
    assert len(mended) >= 5
    for row, truth in zip(mended[:5], random, strict=False):
        assert row["low"] <= truth["high"]
        assert truth["low"] <= row["high"]
    assert raw[0]["rate"] > random[0]["high"]


def test_weights_by_hand():
    """Two kinds of lists of two, one drawn three times as often as a random order would: it counts a third."""
    lists = np.repeat(np.arange(4000, dtype=np.uint64), 2)
    position = np.tile([1, 2], 4000)
    likely = np.repeat(np.arange(4000) < 3000, 2)
    propensity = np.where(position == 2, 1.0, np.where(likely, 0.75, 0.25))
    click = (position == 1) & likely
    rows = corrected(lists, position, propensity, np.full(8000, 2), click)
    assert [row["rate"] for row in rows] == pytest.approx([0.5, 0.0])
    # (sum w)^2 / sum w^2 with 3000 weights of 2/3 and 1000 of 2.
    assert rows[0]["n"] == pytest.approx(4000**2 / (3000 * 4 / 9 + 1000 * 4))


def test_few_lists_say_nothing():
    nothing = np.zeros(0)
    assert corrected(nothing.astype(np.uint64), nothing.astype(int), nothing, nothing, nothing) == []


@given(st.integers(1, 10_000), st.data())
def test_an_interval_holds_its_share(n, data):
    hits = data.draw(st.integers(0, n))
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n + 1e-12
    assert hits / n - 1e-12 <= high <= 1
    mirrored = wilson(n - hits, n)
    assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]))


def test_wilsons_interval_as_tables_have_it():
    assert wilson(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)


def test_the_power_of_an_exact_curve():
    rows = [{"position": k, "n": 10_000, "clicks": round(3000 * k**-0.5)} for k in range(1, 11)]
    assert power(rows)["value"] == pytest.approx(0.5, abs=0.01)
    assert power(rows[:1]) is None
