"""The switches of the synthetic world: each does to the data what it says."""

from __future__ import annotations

import numpy as np
import pytest

from liverank.data.browsing import browse
from liverank.data.catalogue import NOTHING, Catalogue
from liverank.data.looking import CART, CLICK, PURCHASE, VIEW, list_seconds
from liverank.data.synthetic import generate
from liverank.data.synthetic_settings import DirtShares, SyntheticSettings
from liverank.data.synthetic_world import SyntheticWorld
from liverank.data.tastes import Tastes
from liverank.data.visits import DAY, START_MICROSECONDS, visits
from tests.conftest import ROOT

BASE = {"users": 800, "items": 200, "days": 56, "seed": 5}


def world(**switches):
    tastes = Tastes.of(SyntheticSettings(**{**BASE, **switches}))
    return tastes, browse(tastes)


def days(browsing):
    return (browsing.time - START_MICROSECONDS) / DAY


def test_tastes_drift_gradually():
    """At a rate of 1 the distance to the tastes of day 0 grows by a third of the way in ten days."""
    tastes = Tastes.of(SyntheticSettings(**BASE, taste_drift=1.0))
    users = np.arange(800)
    at = [tastes.audience.taste(users, np.full(800, day)) for day in (0.0, 10.0, 20.0, 30.0, 60.0)]
    far = [np.abs(taste - at[0]).sum(axis=1).mean() for taste in at]
    assert far[0] == 0
    assert far[1] == pytest.approx(far[3] / 3)
    assert far[2] == pytest.approx(far[3] * 2 / 3)
    assert far[4] == pytest.approx(far[3], rel=0.1), "after a month nothing of the old tastes is left"
    assert at[1].sum(axis=1) == pytest.approx(1)
    still = Tastes.of(SyntheticSettings(**BASE)).audience
    assert np.array_equal(still.taste(users, np.zeros(800)), still.taste(users, np.full(800, 50.0)))


def test_drifting_tastes_show_in_the_clicks():
    """How a user's clicks share out over topics, early and late: more alike where tastes stay."""
    likeness = {}
    for rate in (0.0, 5.0):
        tastes, browsing = world(taste_drift=rate, impressions_per_user=30, users=300)
        clicks = browsing.events.type == CLICK
        user = browsing.user[browsing.events.impression[clicks]]
        topic = tastes.catalogue.topic[browsing.events.item[clicks]]
        late = (browsing.events.time[clicks] > START_MICROSECONDS + 35 * DAY).astype(int)
        counts = np.zeros((2, 300, 8))
        np.add.at(counts, (late, user, topic), 1)
        enough = counts.sum(axis=2).min(axis=0) >= 10
        share = counts[:, enough] / counts[:, enough].sum(axis=2, keepdims=True)
        likeness[rate] = np.minimum(share[0], share[1]).sum(axis=1).mean()
        assert enough.sum() > 30
    assert likeness[5.0] < likeness[0.0] - 0.1


def test_what_is_popular_drifts_gradually():
    for rate, same in ((0.0, 1.0), (1.0, 0.3)):
        catalogue = Catalogue(SyntheticSettings(**BASE, popularity_drift=rate))
        first, last = (catalogue.weight(np.arange(200)[None], np.array([day])) for day in (0.0, 30.0))
        between = catalogue.weight(np.arange(200)[None], np.array([15.0]))
        assert between == pytest.approx((first + last) / 2)
        assert abs(np.corrcoef(first[0], last[0])[0, 1]) <= same
    tops = {}
    for rate in (0.0, 4.0):
        _, browsing = world(popularity_drift=rate, items=400, new_items=0)
        halves = [browsing.shown[(days(browsing) > 28) == late] for late in (False, True)]
        counts = [np.bincount(half[half != NOTHING], minlength=400) for half in halves]
        tops[rate] = np.corrcoef(*counts)[0, 1]
    assert tops[4.0] < tops[0.0] - 0.2


def test_the_zipf_power_skews_what_is_shown():
    shares = []
    for power in (0.0, 0.7, 1.5):
        _, browsing = world(popularity_power=power, new_items=0)
        counts = np.sort(np.bincount(browsing.shown[browsing.shown != NOTHING]))[::-1]
        shares.append(counts[:10].sum() / counts.sum())
    assert shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize(("law", "spread"), [("gamma", 0.8), ("lognormal", 1.0)])
def test_activity_has_the_wanted_mean_and_a_long_tail(law, spread):
    settings = SyntheticSettings(
        users=20_000, impressions_per_user=10, activity=law, activity_spread=spread, most_impressions=1000
    )
    user, _, _ = visits(np.random.default_rng(0), settings, np.zeros(20_000, bool))
    lists = np.bincount(user)
    assert lists.mean() == pytest.approx(10, rel=0.05)
    assert np.percentile(lists, 99) > 4 * np.median(lists)
    assert lists.min() == 1


def test_the_least_and_the_most_active():
    settings = SyntheticSettings(users=2000, impressions_per_user=10, least_impressions=4, most_impressions=15)
    user, _, _ = visits(np.random.default_rng(0), settings, np.zeros(2000, bool))
    assert (np.bincount(user).min(), np.bincount(user).max()) == (4, 15)


def test_sessions_have_the_wanted_length_and_never_overlap():
    for wanted in (1.0, 6.0):
        _, browsing = world(session_lists=wanted, impressions_per_user=60, shown=60)
        sizes = np.bincount(browsing.session)
        assert sizes.mean() == pytest.approx(wanted, rel=0.25)
        order = np.lexsort((browsing.time, browsing.user))
        gaps = np.diff(browsing.time[order])[np.diff(browsing.user[order]) == 0]
        assert gaps.min() >= list_seconds(SyntheticSettings(shown=60)) * 1_000_000
        firsts = np.flatnonzero(np.diff(browsing.session[order]) != 0)
        assert len(firsts) == len(sizes) - 1, "a session's lists follow each other"


def test_seasons_of_day_week_and_year():
    def busy(**switches):
        settings = SyntheticSettings(**{**BASE, "users": 4000, "days": 364, **switches})
        _, time, _ = visits(np.random.default_rng(1), settings, np.zeros(4000, bool))
        return (time - START_MICROSECONDS) / DAY

    flat, weekly = busy(day_season=0), busy(day_season=0, week_season=0.6)
    yearly, daily = busy(day_season=0, year_season=0.8, new_users=0), busy(day_season=1)

    def evening(day):
        return np.mean((day % 1) > 0.5)

    def weekend(day):
        return np.mean((np.floor(day) + 3) % 7 >= 5)

    assert evening(flat) == pytest.approx(0.5, abs=0.02)
    # Bent time u -> u - sin(2 pi u) / 9 keeps halves; the busiest quarter is the one around noon and after.
    assert np.std(np.histogram(daily % 1, 8, (0, 1))[0]) > 3 * np.std(np.histogram(flat % 1, 8, (0, 1))[0])
    assert weekend(flat) == pytest.approx(2 / 7, abs=0.02)
    assert weekend(weekly) == pytest.approx(2 * 1.6 / (2 * 1.6 + 5 * 0.76), abs=0.02)
    winter = np.mean((yearly > 303) | (yearly < 30))
    even = np.mean((busy(day_season=0, new_users=0) > 303) | (busy(day_season=0, new_users=0) < 30))
    assert winter > 1.4 * even


def test_the_share_of_new_users():
    arrived = []
    for share in (0.0, 0.5, 1.0):
        _, browsing = world(new_users=share, impressions_per_user=20, last_arrival=1, arrival_power=1)
        first = np.full(800, np.inf)
        np.minimum.at(first, browsing.user, days(browsing))
        arrived.append(np.mean(first > 28))
    assert arrived[0] < 0.2
    assert arrived[0] + 0.1 < arrived[1] < arrived[2] - 0.1


def test_new_items_appear_while_traffic_runs():
    for share in (0.0, 0.6):
        tastes, browsing = world(new_items=share)
        launch = tastes.catalogue.launch
        assert np.mean(launch > 0) == pytest.approx(share, abs=0.1)
        shown = browsing.shown != NOTHING
        assert np.all((launch[browsing.shown] <= days(browsing)[:, None]) | ~shown)


def test_the_funnel_has_the_wanted_rates():
    _, browsing = world(cart_rate=0.5, purchase_rate=0.2, view_rate=0.0)
    counts = np.bincount(browsing.events.type, minlength=4)
    assert counts[VIEW] == 0
    assert counts[CART] / counts[CLICK] == pytest.approx(0.5, abs=0.03)
    assert counts[PURCHASE] / counts[CART] == pytest.approx(0.2, abs=0.03)
    _, silent = world(cart_rate=0.5, purchase_rate=0.2, view_rate=0.0, logged=("purchase",))
    kept = browsing.events.type == PURCHASE
    assert np.array_equal(silent.events.item, browsing.events.item[kept]), (
        "what is not logged has happened all the same"
    )


def test_repeats_by_switch():
    shares = {}
    for name, switches in {
        "usual": {},
        "sought": {"repeat_share": 0.8},
        "hidden": {"hide_seen": True, "again_share": 0},
    }.items():
        _, browsing = world(impressions_per_user=15, items=1000, **switches)
        clicks = browsing.events.type == CLICK
        pairs = browsing.user[browsing.events.impression[clicks]] * 10_000 + browsing.events.item[clicks]
        shares[name] = 1 - len(np.unique(pairs)) / len(pairs)
    assert shares["sought"] > 2 * shares["usual"]
    assert shares["hidden"] < 0.05


def test_crawlers_are_flagged_regular_and_tireless():
    tastes, browsing = world(bots=0.02, bot_lists=50, bot_seconds=5)
    bots = np.flatnonzero(tastes.audience.bots)
    assert 5 <= len(bots) <= 40
    clicks = browsing.events.type == CLICK
    user = browsing.user[browsing.events.impression]
    for bot in bots:
        mine = clicks & (user == bot)
        assert mine.sum() > 0.6 * 50 * 20
        times = np.sort(browsing.events.time[mine])
        gaps = np.diff(times) / 1e6
        assert np.median(gaps) == 5
        assert np.mean(gaps == 5) > 0.9
    people = np.bincount(user[clicks], minlength=800)[~tastes.audience.bots]
    assert people.max() < 600
    assert np.all(browsing.propensity[np.isin(browsing.user, bots)][:, 0] == 1)


def test_live_traffic_goes_on_in_a_world_with_every_switch(tmp_path):
    settings = SyntheticSettings(
        **{**BASE, "users": 100, "days": 10},
        taste_drift=1,
        popularity_drift=1,
        bots=0.1,
        repeat_share=0.3,
        cascade_stop=0.3,
        position_curve="geometric",
        position_power=0.1,
    )
    generate(settings, tmp_path)
    live, answered = SyntheticWorld(tmp_path, seed=1), 0
    bots = {f"user-{n:06d}" for n in np.flatnonzero(live.tastes.audience.bots)}
    for number, request in enumerate(live.requests(100)):
        assert request.user_id not in bots
        answered += len(live.react(request, request.candidates, f"i{number}"))
    assert answered > 50
    assert np.any(live._state.memory != NOTHING)


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match="hide_seen goes with"):
        SyntheticSettings(hide_seen=True)


def test_the_page_lists_every_switch():
    """docs/synthetic.md has each switch with its default and its description."""
    page = (ROOT / "docs" / "synthetic.md").read_text(encoding="utf-8")
    for prefix, section in (("", SyntheticSettings), ("dirt.", DirtShares)):
        for name, field in section.model_fields.items():
            if name == "dirt":
                continue
            value = "" if field.default is None else field.default
            told = ", ".join(value) if isinstance(value, tuple) else value
            assert f"| `{prefix}{name}` | {told} | {field.description} |" in page
