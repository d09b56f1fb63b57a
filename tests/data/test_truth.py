"""True preferences: what clicks converge to; and logged propensities recover the value of another policy."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from liverank.cli.data_command import app
from liverank.data.browsing import EXPLORE, browse
from liverank.data.catalogue import NOTHING
from liverank.data.looking import CLICK, answer, examination, looked_at
from liverank.data.synthetic import generate
from liverank.data.synthetic_settings import SyntheticSettings
from liverank.data.synthetic_state import state_at
from liverank.data.tastes import State, Tastes
from liverank.data.truth import Truth, chances, true_preferences
from liverank.data.visits import DAY, START_MICROSECONDS
from liverank.errors import ConfigError, DataError

WORLDS = {
    "default": {},
    "drifting": {"taste_drift": 2.0, "drift_at": 10},
    "recalling": {"repeat_share": 0.4, "again_share": 0.5, "click_logit": -2.0},
    "geometric": {"position_curve": "geometric", "position_power": 0.1},
}
DRAWS = 60_000


@pytest.mark.parametrize("name", WORLDS)
def test_clicks_under_random_lists_converge_to_the_true_chances(name):
    """Twelve items, every one equally often at every position: clicks over looks, within five standard errors."""
    settings = SyntheticSettings(users=6, items=120, days=20, seed=4, **WORLDS[name])
    tastes, rng = Tastes.of(settings), np.random.default_rng(1)
    state = State(6)
    state.remember(np.array([0, 0, 1, 3, 3, 3]), np.array([5, 6, 7, 8, 9, 10]))
    items, day, regime = np.arange(2, 14), 13.7, int(settings.drift_at is not None)
    truth = chances(tastes, np.arange(6), items, day, state, regime)
    curve = examination(np.arange(1, 13), settings.position_power, settings.position_curve)
    for user in range(6):
        many = np.full(DRAWS, user)
        intent = tastes.intent(rng, many, np.full(DRAWS, day), state, regime)
        shown = rng.permuted(np.tile(items, (DRAWS, 1)), axis=1)
        clicks = answer(rng, shown, tastes.attraction(intent, shown, regime), settings).clicks
        found = np.bincount(clicks[1], minlength=14)[items] / (DRAWS * curve.mean())
        here = tastes.catalogue.launch[items] <= day
        error = np.sqrt(truth[user] / (DRAWS * curve.mean()))
        assert here.sum() >= 8
        assert np.all(np.abs(found - truth[user])[here] < 5 * error[here] + 1e-9)
        assert np.all(truth[user][~here] == 0)


def test_the_truth_is_not_flat_and_knows_the_last_click():
    tastes = Tastes.of(SyntheticSettings(users=4, items=200, seed=4))
    fresh, known = State(4), State(4)
    known.remember(np.arange(4), np.array([3, 3, 3, 3]))
    items = np.flatnonzero(tastes.catalogue.launch == 0)
    before, after = (chances(tastes, np.arange(4), items, 1.0, state, 0) for state in (fresh, known))
    follows = tastes.catalogue.follows(0)[tastes.catalogue.style[3]]
    wanted = tastes.catalogue.style[items] == follows
    assert after[:, wanted].mean() > 3 * after[:, ~wanted].mean()
    assert np.abs(before - after).max() > 0.1
    assert 0 < before.min() < before.max() < 1


def test_the_state_comes_from_the_log(tmp_path):
    """Read from the files, what users clicked before a moment is what the generator had in mind then."""
    settings = SyntheticSettings(users=60, items=80, days=10, seed=5, dirt=0.1)
    generate(settings, tmp_path)
    browsing, at = browse(Tastes.of(settings)), datetime(2026, 1, 7, tzinfo=UTC)
    events = browsing.events
    when = START_MICROSECONDS + 6 * DAY
    state = state_at(tmp_path, settings, np.arange(60), at)
    for user in range(60):
        mine = (events.type == CLICK) & (browsing.user[events.impression] == user) & (events.time < when)
        clicked = events.item[mine][np.argsort(events.time[mine], kind="stable")]
        assert state.last[user] == (clicked[-1] if len(clicked) else NOTHING)
        assert set(state.memory[user]) - {NOTHING} == set(clicked[-64:])


def test_inverse_propensities_recover_the_value_of_another_policy():
    """The policy puts the item of the best quality on top; its clicks there, estimated from lists in random order."""
    settings = SyntheticSettings(users=8000, items=300, days=30, explore_share=1, seed=9, shown=10)
    tastes = Tastes.of(settings)
    browsing = browse(tastes)
    assert np.all(browsing.surface == EXPLORE)
    full = (browsing.shown != NOTHING).all(axis=1)
    n = len(browsing.user)
    choice = tastes.catalogue.quality[browsing.shown].argmax(axis=1)
    rows = np.arange(n)
    value = browsing.attraction[rows, choice][full].mean()
    clicked = np.zeros(n, bool)
    events = browsing.events
    top = (events.type == CLICK) & (events.item == browsing.shown[events.impression, 0])
    clicked[events.impression[top]] = True
    weights = (choice == 0) * clicked / browsing.propensity[:, 0]
    estimate, error = weights[full].mean(), weights[full].std() / np.sqrt(full.sum())
    assert error < 0.1 * value
    assert abs(estimate - value) < 4 * error
    shown_first = clicked[full].mean()
    assert abs(shown_first - value) > 4 * error, "the lists as shown are worth something else"


def test_logged_propensities_weigh_score_draws_too():
    """Not only in random order: on Plackett-Luce lists by score, inverse propensities sum to one pick a list."""
    settings = SyntheticSettings(users=6000, items=300, days=30, explore_share=0, seed=9, shown=5)
    browsing = browse(Tastes.of(settings))
    wanted = np.where(browsing.shown == NOTHING, 10**6, browsing.shown).argmin(axis=1) == 0
    weights = wanted / browsing.propensity[:, 0]
    assert weights.mean() == pytest.approx(1, abs=4 * weights.std() / np.sqrt(len(weights)))


def test_a_cascade_is_looked_at_as_the_formula_says():
    settings = SyntheticSettings(cascade_stop=0.6, position_power=0.5, shown=6)
    attraction = np.tile([0.9, 0.1, 0.5, 0.3, 0.7, 0.2], (200_000, 1))
    shown = np.tile(np.arange(6), (200_000, 1))
    clicks = answer(np.random.default_rng(0), shown, attraction, settings).clicks
    found = np.bincount(clicks[1], minlength=6) / len(shown)
    expected = (looked_at(settings, attraction[:1]) * attraction[:1])[0]
    assert found == pytest.approx(expected, abs=0.005)
    # By hand: the second is looked at with 1 / sqrt(2), unless the first (0.9 of the time) was clicked and ended it.
    assert expected[1] == pytest.approx(0.1 * 2**-0.5 * (1 - 0.6 * 0.9))


def test_curves_have_their_known_shapes():
    assert examination([1, 2, 4], 0.5) == pytest.approx([1, 2**-0.5, 0.5])
    assert examination([1, 3, 7], 1.0, "logarithmic") == pytest.approx([1, 1 / 2, 1 / 3])
    assert examination([1, 2, 3], 1.0, "geometric") == pytest.approx([1, 1 / 2, 1 / 4])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    generate(SyntheticSettings(users=40, items=50, days=5, seed=2, bots=0.1), folder)
    return folder


def test_preferences_in_blocks_are_those_of_each_user(small, monkeypatch):
    truth, at = Truth(small), datetime(2026, 1, 3, tzinfo=UTC)
    users, items = np.arange(40), np.arange(50)
    whole = true_preferences(small, users, items, at)
    assert whole.shape == (40, 50)
    one = truth.preferences(np.array([7]), items, at)[0]
    assert whole[7] == pytest.approx(one, rel=1e-6)
    monkeypatch.setattr("liverank.data.truth._CELLS_AT_ONCE", 150)
    monkeypatch.setattr("liverank.data.truth._STATES_AT_ONCE", 7)
    pieces = list(truth.blocks(users, items, at))
    assert np.concatenate([some for some, _ in pieces]).tolist() == users.tolist()
    assert max(len(some) for some, _ in pieces) == 3
    assert np.vstack([chance for _, chance in pieces]) == pytest.approx(whole, rel=1e-6)
    bots = truth.tastes.audience.bots
    assert bots.sum() >= 1
    assert set(np.unique(whole[bots])) <= {0.0, 1.0}


def test_the_command_writes_and_tells_the_truth(small, tmp_path):
    run = CliRunner().invoke
    told = run(app, ["truth", str(small), "--user", "user-000003", "--top", "2", "--at", "2026-01-04T00:00:00Z"])
    assert told.exit_code == 0, told.output
    first = told.stdout.splitlines()[1].split()
    truth, at = Truth(small), datetime(2026, 1, 4, tzinfo=UTC)
    chance = truth.preferences(np.array([3]), np.arange(50), at)[0]
    assert float(first[0]) == pytest.approx(chance.max(), abs=1e-4)
    assert first[1] == f"item-{chance.argmax():05d}"
    assert run(app, ["truth", str(small), "--out", str(tmp_path / "t")]).exit_code == 0
    assert pq.read_table(tmp_path / "t" / "chances.parquet").num_rows == 40 * 50
    bots = pq.read_table(tmp_path / "t" / "users.parquet").column("bot").to_pylist()
    assert bots == truth.tastes.audience.bots.tolist()
    assert set(pq.read_table(tmp_path / "t" / "items.parquet").column_names) >= {"style", "topic", "quality"}


def test_what_cannot_be_told_is_said(small, tmp_path):
    def run(*arguments):
        return CliRunner().invoke(app, ["truth", *arguments], catch_exceptions=False)

    with pytest.raises(DataError, match="no user of"):
        run(str(small), "--user", "user-000040")
    with pytest.raises(DataError, match="no user of"):
        run(str(small), "--user", "Ann")
    with pytest.raises(ConfigError, match="has no zone"):
        run(str(small), "--user", "user-000001", "--at", "2026-01-04")
    with pytest.raises(ConfigError, match="Whose"):
        run(str(small))
    generate(SyntheticSettings(users=5, items=20, days=2, logged=("view",)), tmp_path)
    with pytest.raises(DataError, match="does not keep clicks"):
        run(str(tmp_path), "--user", "user-000001")
