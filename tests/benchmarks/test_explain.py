"""The benchmark of explanations answers each request every way, and its page sets the default beside its bar."""

from __future__ import annotations

import pytest

from benchmarks.explain import part
from benchmarks.explain_stages import ALONE, LEFT_OUT, SIGNALS, speed
from liverank.config import Config, TrainingConfig
from liverank.config.training import InterestConfig
from tests.evaluation.world import write_bundle, write_features

WAYS = {ALONE, SIGNALS, *(f"with events, {events} left out" for events in LEFT_OUT)}


def test_every_way_answers_the_same_requests(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None)
    features = write_features(tmp_path / "features", validation=40)
    config = TrainingConfig(interest=InterestConfig(enabled=False))
    found = speed(str(write_bundle(features, tmp_path / "bundle", config=config)), rounds=1)
    assert set(found["seconds"]) == set(found["times"]) == WAYS
    assert found["times"][ALONE] == 1
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert found["items"] == 60


@pytest.mark.parametrize(("times", "verdict"), [(2.5, "met"), (3.5, "**missed**")])
def test_the_page_judges_what_is_served_by_default(times, verdict):
    default = f"with events, {Config().serving.explain_events} left out"
    found = {
        "seconds": dict.fromkeys(WAYS, 0.002),
        "times": {way: times if way == default else 9.0 for way in WAYS},
        "items": 3000,
    }
    text = part("where", found)
    assert f"| {default} | 2.00 | {times:.2f} |" in text
    assert verdict in text
