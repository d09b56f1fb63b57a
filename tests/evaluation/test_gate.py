from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from liverank.config.evaluation import GateConfig
from liverank.evaluation.bootstrap import Interval
from liverank.evaluation.gate import Evidence, judge
from liverank.evaluation.groups import GroupGap, GroupingResult
from liverank.evaluation.slices import SliceResult


def gap(mean: float, width: float = 0.005, requests: int = 200) -> Interval:
    return Interval(mean, mean - width, mean + width, requests)


def evidence(
    slices: dict[str, Interval] | None = None, requests: int = 200, users: int = 80, **gaps: Interval
) -> Evidence:
    parts = [SliceResult(name, of.requests, {}, {"champion": of}) for name, of in (slices or {}).items()]
    return Evidence("NDCG@10", requests, users, gap(0.4), gaps, parts)


def test_a_first_model_that_beats_the_baselines_is_promoted():
    verdict = judge(evidence(popularity=gap(0.1)), GateConfig())
    assert verdict.promote
    assert verdict.reasons == [
        "NDCG@10 0.4000 beats popularity: +0.1000 [+0.0950, +0.1050].",
        "There is no champion yet: the baselines decide.",
    ]


@pytest.mark.parametrize("lead", [gap(-0.1), gap(0.0), gap(0.004)])
def test_a_first_model_must_beat_them_clearly(lead):
    verdict = judge(evidence(popularity=lead), GateConfig())
    assert not verdict.promote
    assert "does not clearly beat popularity" in verdict.reasons[0]


def test_every_named_baseline_counts():
    gaps = {"popularity": gap(0.1), "zero-shot": gap(-0.02)}
    verdict = judge(evidence(**gaps), GateConfig(beat_baselines=("popularity", "zero-shot")))
    assert not verdict.promote
    assert "zero-shot" in verdict.reasons[0]


def test_a_baseline_that_the_bundle_lacks_is_no_victory():
    verdict = judge(evidence(popularity=gap(0.1)), GateConfig(beat_baselines=("popularity", "zero-shot")))
    assert not verdict.promote
    assert "no ranker 'zero-shot'" in verdict.reasons[0]


def test_a_worse_model_is_refused_with_the_figures():
    verdict = judge(evidence(champion=gap(-0.03), popularity=gap(0.2)), GateConfig())
    assert not verdict.promote
    assert verdict.reasons[0] == (
        "NDCG@10 against the champion on the same 200 lists: -0.0300 [-0.0350, -0.0250]; "
        "the mean gain does not reach 0 (evaluation.gate.min_gain)."
    )


def test_a_gain_that_may_be_a_loss_is_refused():
    verdict = judge(evidence(champion=gap(0.01, width=0.03), popularity=gap(0.2)), GateConfig())
    assert not verdict.promote
    assert "a loss of more than 0.01 cannot be ruled out" in verdict.reasons[0]


def test_a_better_model_is_promoted_even_where_both_lose_to_a_baseline():
    verdict = judge(evidence(champion=gap(0.05), popularity=gap(-0.01)), GateConfig())
    assert verdict.promote
    assert verdict.reasons[-1] == "NDCG@10 0.4000 does not clearly beat popularity: -0.0100 [-0.0150, -0.0050]."


def test_a_slice_that_loses_clearly_refuses_a_better_mean():
    slices = {"new users": gap(-0.08, width=0.02, requests=40), "returning users": gap(0.1)}
    verdict = judge(evidence(slices, champion=gap(0.05), popularity=gap(0.2)), GateConfig())
    assert not verdict.promote
    assert "Slice 'new users' (40 requests) loses to the champion: -0.0800 [-0.1000, -0.0600]" in verdict.reasons[0]


@pytest.mark.parametrize("part", [gap(-0.04, width=0.01), gap(-0.08, width=0.1)])
def test_a_slice_may_lose_a_little_or_by_chance(part):
    verdict = judge(evidence({"new users": part}, champion=gap(0.05), popularity=gap(0.2)), GateConfig())
    assert verdict.promote
    assert "No slice of 1 loses" in verdict.reasons[1]


def uneven(mean: float, width: float = 0.02, kind: str = "attribute") -> GroupingResult:
    return GroupingResult("age", kind, [], 0, GroupGap("old", "young", gap(mean, width), gap(0.0)))


def test_groups_are_judged_only_when_asked():
    found = replace(evidence(popularity=gap(0.1)), groups=[uneven(0.3)])
    assert judge(found, GateConfig()).promote
    verdict = judge(found, GateConfig(max_group_gap=0.25))
    assert not verdict.promote
    assert verdict.reasons[0] == (
        "Users by 'age' are served unevenly: 'old' is ahead of 'young' by +0.3000 [+0.2800, +0.3200], "
        "more than 0.25 (evaluation.gate.max_group_gap)."
    )


@pytest.mark.parametrize(
    "group",
    [
        uneven(0.2),
        uneven(0.3, width=0.4),
        uneven(0.3, kind="behaviour"),
        GroupingResult("age", "attribute", [], 9, None),
    ],
    ids=["small", "unsure", "behaviour", "one group"],
)
def test_groups_may_differ_a_little_by_chance_or_by_what_is_known_of_them(group):
    found = replace(evidence(popularity=gap(0.1)), groups=[group])
    assert judge(found, GateConfig(max_group_gap=0.25)).promote


@pytest.mark.parametrize("against", [{"popularity": gap(0.1)}, {"popularity": gap(0.1), "champion": gap(0.1)}])
def test_a_ranking_that_heeds_the_order_of_candidates_is_refused(against):
    found = evidence(**against)
    assert judge(replace(found, order_sensitivity=0.01), GateConfig()).promote
    verdict = judge(replace(found, order_sensitivity=0.02), GateConfig())
    assert not verdict.promote
    assert verdict.reasons[0] == (
        "The ranking of 2.0% of the requests changes with the order of their candidates, more than 1.0% "
        "(evaluation.gate.max_order_sensitivity)."
    )
    assert judge(replace(found, order_sensitivity=0.02), GateConfig(max_order_sensitivity=1)).promote


def test_explanations_are_judged_only_when_asked():
    found = replace(evidence(popularity=gap(0.1)), faithfulness=0.8)
    assert judge(found, GateConfig()).promote
    assert judge(found, GateConfig(min_faithfulness=0.8)).promote
    assert judge(found, GateConfig(min_faithfulness=0.9)).reasons[0] == (
        "Without the events named for them 80.0% of the scores change in the direction told, less than 90.0% "
        "(evaluation.gate.min_faithfulness)."
    )
    untested = judge(replace(found, faithfulness=None), GateConfig(min_faithfulness=0.1))
    assert not untested.promote
    assert "No explanation could be tested" in untested.reasons[0]


def test_too_few_requests_or_users_are_no_judgement():
    verdict = judge(evidence(requests=29, users=9, champion=gap(0.3), popularity=gap(0.3)), GateConfig())
    assert not verdict.promote
    assert verdict.reasons == [
        "Only 29 test requests could be judged; the gate needs 30 (evaluation.gate.min_requests).",
        "The judged requests come from 9 users; the gate needs 10 (evaluation.gate.min_users).",
    ]


def test_a_demanded_gain_is_demanded():
    strict = GateConfig(min_gain=0.06)
    assert not judge(evidence(champion=gap(0.05), popularity=gap(0.2)), strict).promote
    assert judge(evidence(champion=gap(0.07), popularity=gap(0.2)), strict).promote


@pytest.mark.parametrize("keys", [{"metric": "ndgc"}, {"beat_baselines": ("popular",)}, {"max_lost": 1}])
def test_a_name_that_means_nothing_is_an_error(keys):
    with pytest.raises(ValidationError):
        GateConfig(**keys)
