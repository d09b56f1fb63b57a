"""Windows are cut from the real store's log: one version, log order, answers joined by impression."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from liverank.events import ExperimentArm, Impression, Interaction, ShownItem
from liverank.store import open_store
from monitoring.window import clicks_by_position, ranked_requests, read_window
from tests.monitoring.traffic import START, Traffic
from tests.store.redis_server import PATIENT

LABELS = ("click",)
LATE = START + timedelta(days=1)


@pytest.fixture(params=["sqlite", "redis"])
def store(request, tmp_path):
    redis = request.param == "redis"
    place = request.getfixturevalue("redis").url(tmp_path) if redis else tmp_path / "live.db"
    opened = open_store(place, bounds=PATIENT)
    yield opened
    opened.close()


def window(store, since=0, size=20, now=LATE, attribution=60.0):
    return read_window(store, since, size, LABELS, now, attribution)


def test_windows_follow_each_other_without_gap_or_overlap(store):
    store.append(Traffic(1).records(50))
    seen, since = [], 0
    while (found := window(store, since)) is not None and found.ripe:
        seen += [impression.impression_id for impression in found.impressions]
        since = found.end
    assert len(seen) == len(set(seen)) == 40
    rest = window(store, since)
    assert rest is not None
    assert len(rest.impressions) == 10


def test_the_version_that_serves_now_is_judged(store):
    store.append([*Traffic(1).records(30, "1"), *Traffic(2).records(5, "2")])
    found = window(store)
    assert found is not None
    assert (found.model_version, len(found.impressions), found.ripe) == ("2", 5, False)
    assert {impression.model_version for impression in found.impressions} == {"2"}
    again = window(store, found.start)
    assert again is not None
    assert again.impressions == found.impressions


def test_answers_may_come_late_until_the_window_is_ripe(store):
    records = Traffic(1, answered=1.0).records(20)
    shown = [record for record in records if isinstance(record, Impression)]
    answers = [record for record in records if isinstance(record, Interaction)]
    store.append(shown)
    last = shown[-1].timestamp
    early = window(store, now=last + timedelta(seconds=59))
    assert early is not None
    assert not early.ripe
    store.append(answers)
    ripe = window(store, now=last + timedelta(seconds=60))
    assert ripe is not None
    assert ripe.ripe
    assert all(ripe.answers.values())


def test_later_traffic_in_the_log_is_a_clock_too(store):
    store.append(Traffic(1).records(25))
    found = window(store, now=START - timedelta(days=900))
    assert found is not None
    assert found.ripe


def test_requests_know_shown_order_answers_and_the_history_before(store):
    past = [
        Interaction(event_id=f"p{n}", user_id="u", item_id="x", type="view", timestamp=START - timedelta(hours=n))
        for n in range(1, 8)
    ]
    shown = [ShownItem(item_id=name, position=place, score=place / 10) for place, name in ((2, "b"), (1, "a"))]
    impression = Impression(
        impression_id="i", user_id="u", timestamp=START, shown=shown, model_version="1", degraded=["interest"]
    )
    answers = [
        Interaction(
            event_id=name,
            user_id="u",
            item_id=item,
            type=kind,
            timestamp=START + timedelta(seconds=3),
            impression_id=to,
        )
        for name, item, kind, to in [
            ("a1", "b", "click", "i"),
            ("a2", "a", "view", "i"),
            ("a3", "a", "click", "elsewhere"),
            ("a4", "a", "click", None),
        ]
    ]
    store.append([*past, impression, *answers])
    found = window(store)
    assert found is not None
    (request,) = ranked_requests(found, store, history_length=5)
    assert (list(request.item_ids), list(request.labels), request.scores) == (["a", "b"], [0.0, 1.0], [0.1, 0.2])
    assert list(request.history_times) == [START.timestamp() - 3600 * n for n in range(5, 0, -1)]
    assert request.degraded
    assert clicks_by_position(found, 3) == [(1, 0), (1, 1), (0, 0)]


def test_a_log_without_impressions_has_no_window(store):
    store.append([Interaction(event_id="e", user_id="u", item_id="x", type="click", timestamp=START)])
    assert window(store) is None


def test_an_experiments_other_variants_are_passed_over(store):
    arms = [ExperimentArm(name="e", variant="control"), ExperimentArm(name="e", variant="new"), ExperimentArm(name="e")]
    shown = [record for record in Traffic(1).records(30) if isinstance(record, Impression)]
    store.append([replace(record, experiment_arm=arms[at % 3]) for at, record in enumerate(shown)])
    found = window(store, size=10)
    assert found is not None
    assert [of.impression_id for of in found.impressions] == [of.impression_id for of in shown[::3]]
