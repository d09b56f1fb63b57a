"""The rules are pure: a table of situations and what each must lead to, and how often they fire on healthy traffic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverank.config import MonitoringConfig
from monitoring.quality import Comparison, compare, sample_of
from monitoring.rules import Situation, decide
from tests.monitoring.traffic import Traffic

CONFIG = MonitoringConfig()


def lost(loss: float, half_width: float = 0.05) -> Comparison:
    return Comparison(
        reference=0.5,
        window=0.5 * (1 - loss),
        n_reference=500,
        n_window=500,
        difference=-0.5 * loss,
        difference_low=-0.5 * (loss + half_width),
        difference_high=-0.5 * (loss - half_width),
        loss=loss,
        loss_low=loss - half_width,
        loss_high=loss + half_width,
    )


HEALTHY = Situation(impressions=500, judged=400, quality=lost(0.01), since_last_run=1000.0)
SUFFERS = replace(HEALTHY, quality=lost(0.3))


@pytest.mark.parametrize(
    ("seen", "action", "rule"),
    [
        (HEALTHY, "none", "healthy"),
        (SUFFERS, "retrain", "quality-loss"),
        (replace(HEALTHY, quality=lost(0.13)), "none", "healthy"),
        (replace(HEALTHY, quality=lost(-0.3)), "none", "healthy"),
        (replace(HEALTHY, drifted_share=1.0), "none", "drift-without-quality-loss"),
        (replace(HEALTHY, quality=lost(0.13), drifted_share=0.6), "retrain", "drift-with-quality-loss"),
        (replace(HEALTHY, quality=lost(0.13), drifted_share=0.4), "none", "healthy"),
        (replace(HEALTHY, quality=lost(0.13, 0.2), drifted_share=0.6), "none", "drift-without-quality-loss"),
        (replace(HEALTHY, quality=None), "none", "no-reference"),
        (replace(SUFFERS, impressions=99), "none", "too-few-impressions"),
        (replace(SUFFERS, judged=29), "none", "too-few-impressions"),
        (replace(HEALTHY, since_last_run=CONFIG.schedule_seconds), "retrain", "schedule"),
        (Situation(since_last_run=CONFIG.schedule_seconds), "retrain", "schedule"),
        (Situation(since_last_run=5.0), "none", "too-few-impressions"),
        (replace(SUFFERS, active_run="run-7"), "none", "run-already-active"),
        (replace(SUFFERS, since_last_attempt=3599.0), "none", "cool-down"),
        (replace(SUFFERS, since_last_attempt=3600.0), "retrain", "quality-loss"),
        (replace(SUFFERS, runs_in_budget=4), "none", "budget"),
        (replace(HEALTHY, since_last_run=CONFIG.schedule_seconds, runs_in_budget=4), "none", "budget"),
    ],
)
def test_each_situation_has_one_outcome(seen, action, rule):
    verdict = decide(seen, CONFIG)
    assert (verdict.action, verdict.rule) == (action, rule)
    assert verdict.reason


def test_a_held_run_names_its_cause():
    verdict = decide(replace(SUFFERS, active_run="run-7"), CONFIG)
    assert verdict.cause == "quality-loss"
    assert "run-7" in verdict.reason
    assert "lost 30.0%" in verdict.reason


def judged(reference: Traffic, window: Traffic, requests: int = 300) -> str:
    sides = [sample_of(traffic.table(size), "ndcg") for traffic, size in ((reference, 600), (window, requests))]
    quality = compare(*sides, samples=200, confidence=0.95, rng=np.random.default_rng(0))
    return decide(Situation(impressions=requests, judged=len(sides[1]), quality=quality), CONFIG).rule


def test_healthy_traffic_never_fires_and_a_bad_model_always_does():
    reference = Traffic(1000)
    assert {judged(reference, Traffic(seed)) for seed in range(25)} == {"healthy"}
    assert {judged(reference, Traffic(seed, good=0.1)) for seed in range(5)} == {"quality-loss"}
