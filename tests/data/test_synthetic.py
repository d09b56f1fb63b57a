"""The synthetic world: the same by seed, with the position bias, funnel, languages, dirt and drift that it claims."""

from __future__ import annotations

import filecmp
import re
from collections import Counter

import numpy as np
import pytest

from liverank.config.data import DEFAULT_WEIGHTS
from liverank.data.browsing import browse
from liverank.data.dataset import read_dataset, read_source
from liverank.data.looking import CART, CLICK, PURCHASE, examination
from liverank.data.synthetic import generate, synthetic_dataset
from liverank.data.tastes import NOTHING, SyntheticSettings, Tastes, plackett_luce
from liverank.data.visits import DAY, START_MICROSECONDS

SMALL = SyntheticSettings(users=120, items=80, days=10, seed=3)


@pytest.fixture(scope="module")
def dataset(world):
    return read_dataset(world)


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path):
    for name, settings in (("a", SMALL), ("b", SMALL), ("c", SMALL.model_copy(update={"seed": 4}))):
        generate(settings, tmp_path / name)
    names = [path.name for path in (tmp_path / "a").iterdir()]
    assert len(names) == 6
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", names, shallow=False)[0] == names
    assert read_source(tmp_path / "a")["hash"] != read_source(tmp_path / "c")["hash"]


def test_it_calls_itself_synthetic(world):
    source = read_source(world)
    assert source["synthetic"] is True
    assert "synthetic" in source["source"]
    assert "Synthetic data" in source["notes"][0]


def test_events_answer_what_was_shown(dataset):
    shown = {
        (row["impression_id"], line["item_id"]): (row["user_id"], row["session_id"], row["timestamp"])
        for row in dataset.tables["impressions"].to_pylist()
        for line in row["shown"]
    }
    for event in dataset.tables["interactions"].to_pylist():
        user, session, time = shown[event["impression_id"], event["item_id"]]
        assert (event["user_id"], event["session_id"]) == (user, session)
        assert event["timestamp"] > time
        assert event["type"] in DEFAULT_WEIGHTS


def test_lists_hold_distinct_known_items_that_have_appeared(dataset):
    launch = {row["item_id"]: row["available_from"] for row in dataset.tables["items"].to_pylist()}
    assert len(set(launch.values())) > 10, "items appear over time"
    for row in dataset.tables["impressions"].to_pylist():
        items = [line["item_id"] for line in row["shown"]]
        assert len(set(items)) == len(items) >= 10
        assert all(launch[item] <= row["timestamp"] for item in items)
        assert [line["position"] for line in row["shown"]] == list(range(1, len(items) + 1))
        assert all(0 < line["propensity"] <= 1 for line in row["shown"])


def test_the_funnel_narrows(dataset):
    counts = Counter(dataset.tables["interactions"].column("type").to_pylist())
    assert counts["click"] > counts["cart"] > counts["purchase"] > 0
    assert counts["view"] > 0
    assert counts["purchase"] / counts["cart"] == pytest.approx(0.45, abs=0.08)


def test_both_languages_and_the_style_in_some_texts(dataset):
    items = dataset.tables["items"].to_pylist()
    chinese = [bool(re.search(r"[\u4e00-\u9fff]", item["title"])) for item in items]
    assert [dict(item["attributes"])["language"] == "zh" for item in items] == chinese
    assert 0.2 < np.mean(chinese) < 0.4
    styled = np.mean([("Goes with" in item["text"]) or ("相配" in item["text"]) for item in items])
    assert 0.25 < styled < 0.45
    assert len({item["category"] for item in items}) == 8


def test_position_bias_has_the_known_curve():
    """In random order CTR(k) / CTR(1) is the examination curve: 30,000 full lists, tolerance four standard errors."""
    settings = SyntheticSettings(users=6000, items=300, days=30, explore_share=1, position_power=0.8, seed=5)
    browsing = browse(Tastes.of(settings))
    events = browsing.events
    clicked = np.zeros(browsing.shown.shape, bool)
    rows, items = events.impression[events.type == CLICK], events.item[events.type == CLICK]
    clicked[rows, (browsing.shown[rows] == items[:, None]).argmax(axis=1)] = True
    clicked = clicked[(browsing.shown != NOTHING).all(axis=1)]
    rate, n = clicked.mean(axis=0), len(clicked)
    curve = examination(np.arange(1, settings.shown + 1), 0.8)
    level = rate.sum() / curve.sum()
    error = np.sqrt(rate * (1 - rate) / n)
    assert n > 30_000
    assert np.all(np.abs(rate - level * curve) < 4 * error)
    flat = np.full(settings.shown, rate.mean())
    assert np.any(np.abs(rate - flat) > 20 * error), "the test would see another curve"


def test_plackett_luce_gives_the_chance_of_each_pick():
    rng = np.random.default_rng(0)
    scores = np.tile(np.log([4.0, 2.0, 2.0]), (40_000, 1))
    order, chance = plackett_luce(rng, scores)
    assert (order[:, 0] == 0).mean() == pytest.approx(0.5, abs=0.01)
    assert np.allclose(chance[order[:, 0] == 0, 0], 0.5)
    assert np.allclose(chance[(order[:, 0] == 0), 1], 0.5)
    assert np.allclose(chance[:, 2], 1)


def _transitions(settings):
    """`[phase, style, style]`: how often a click follows the last click of the list before, by the hidden styles."""
    tastes = Tastes.of(settings)
    browsing = browse(tastes)
    events = browsing.events
    counts = np.zeros((2, 8, 8))
    last: dict[int, tuple[int, int]] = {}
    before: dict[int, int] = {}
    for impression, item, kind, time in zip(events.impression, events.item, events.type, events.time, strict=True):
        if kind != CLICK:
            continue
        user = int(browsing.user[impression])
        if user in last and last[user][0] != impression:
            before[user] = last[user][1]
        if user in before:
            phase = int((time - START_MICROSECONDS) / DAY >= (settings.drift_at or settings.days))
            counts[phase, tastes.catalogue.style[before[user]], tastes.catalogue.style[item]] += 1
        last[user] = (int(impression), int(item))
    return tastes, counts


def test_clicks_follow_the_hidden_styles_and_drift_changes_what_goes_together():
    settings = SyntheticSettings(users=1500, items=400, days=40, drift_at=20, seed=6)
    tastes, counts = _transitions(settings)
    share = counts / np.maximum(counts.sum(axis=2, keepdims=True), 1)
    for phase in (0, 1):
        after, alive = tastes.catalogue.follows(phase), tastes.catalogue.alive(phase)
        assert [int(share[phase, style].argmax()) for style in alive] == [int(after[style]) for style in alive]
        assert share[phase, alive, after[alive]].min() > 0.4
    was, alive = tastes.catalogue.follows(0), tastes.catalogue.alive(0)
    assert share[1, alive, was[alive]].max() < 0.2, "what followed before the drift does not any more"
    assert sorted([*tastes.catalogue.alive(0), *tastes.catalogue.alive(1)]) == list(range(8))


def test_without_the_switch_nothing_drifts():
    _, counts = _transitions(SMALL)
    assert counts[1].sum() == 0


def test_clicks_lead_to_carts_and_purchases():
    events = browse(Tastes.of(SMALL)).events
    clicked = set(zip(events.impression[events.type == CLICK], events.item[events.type == CLICK], strict=True))
    carted = set(zip(events.impression[events.type == CART], events.item[events.type == CART], strict=True))
    bought = set(zip(events.impression[events.type == PURCHASE], events.item[events.type == PURCHASE], strict=True))
    assert bought < carted < clicked


def test_impressions_of_one_user_never_overlap():
    browsing = browse(Tastes.of(SMALL))
    for user in range(SMALL.users):
        times = browsing.time[browsing.user == user]
        assert np.all(np.diff(times) > 120_000_000)


@pytest.mark.parametrize("items", [20, 21, 5000])
def test_odd_sizes(items):
    dataset = synthetic_dataset(SyntheticSettings(users=1, items=items, days=1, seed=1, shown=5))
    assert dataset.tables["items"].num_rows == items
    assert dataset.tables["impressions"].num_rows >= 1


def test_a_sequence_tells_more_than_popularity():
    """Even plain item-to-item counts on ids rank the later lists clearly better than popularity and than as shown."""
    settings = SyntheticSettings(users=1500, items=300, days=40, seed=8)
    browsing = browse(Tastes.of(settings))
    events, n = browsing.events, len(browsing.user)
    follows, popular = np.zeros((300, 300)), np.zeros(300)
    last = np.full(settings.users, NOTHING)
    ranks: dict[str, list[float]] = {"follows": [], "popular": [], "shown": []}
    clicks = events.item[events.type == CLICK]
    lists = events.impression[events.type == CLICK]
    for impression in range(n):
        user, shown = browsing.user[impression], browsing.shown[impression]
        shown = shown[shown != NOTHING]
        picked = clicks[lists == impression]
        if impression > 0.8 * n and last[user] != NOTHING and len(picked):
            score = follows[last[user], shown] / np.sqrt(1 + popular[shown])
            for name, value in (("follows", score), ("popular", popular[shown]), ("shown", -np.arange(len(shown)))):
                place = np.argsort(-value, kind="stable")
                ranks[name].append(1 / (1 + np.flatnonzero(np.isin(shown[place], picked))[0]))
        if last[user] != NOTHING:
            np.add.at(follows[last[user]], picked, 1)
        np.add.at(popular, picked, 1)
        last[user] = picked[-1] if len(picked) else last[user]
    mrr = {name: float(np.mean(values)) for name, values in ranks.items()}
    assert mrr["follows"] > mrr["popular"] * 1.25
    assert mrr["follows"] > mrr["shown"] * 1.25
