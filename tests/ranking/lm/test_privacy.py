"""Differentially private fine-tuning keeps its bound, and what a model remembers is measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from liverank.config.evaluation import EvaluationConfig
from liverank.config.lm import LmConfig, PrivacyConfig
from liverank.config.training import InterestConfig, TrainingConfig
from liverank.errors import ConfigError
from liverank.evaluation.bootstrap import Interval
from liverank.evaluation.gate import Evidence, judge
from liverank.ranking.count import CountRanker
from liverank.ranking.lm.fitting import fit_lm
from liverank.ranking.lm.privacy import PrivacyPlan, membership_auc
from liverank.ranking.lm.training_lists import training_lists
from tests.ranking.hidden_pattern import shop
from tests.ranking.lm.tiny_models import encoder
from tests.ranking.lm.together import WORDS, blind, data_of

PLAN = PrivacyPlan(noise=0.0, clip=1.0, delta=1e-5, share=0.1)


def test_a_list_moves_the_sum_by_no_more_than_the_clip():
    parameters = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2))]
    total = [torch.zeros(3), torch.zeros(2)]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.0, 4.0])
    PLAN.add(parameters, total)
    assert float(torch.cat(total).norm()) == pytest.approx(1.0)
    assert [one.grad for one in parameters] == [None, None]
    parameters[0].grad = torch.tensor([0.3, 0.0, 0.0])  # the other has none: it took no part
    PLAN.add(parameters, total)
    assert float(total[0][0]) == pytest.approx(0.6 + 0.3)


def test_noise_has_the_deviation_that_was_planned():
    plan = replace(PLAN, noise=2.0, clip=0.5)
    [found] = plan.noised([torch.zeros(40_000)], torch.Generator().manual_seed(1))
    assert float(found.std()) == pytest.approx(1.0, rel=0.02)
    assert float(found.mean()) == pytest.approx(0.0, abs=0.02)


def test_lists_are_drawn_each_by_its_own_chance():
    lists = list(range(10_000))
    drawn = [len(PLAN.drawn(lists, seed)) for seed in range(20)]
    assert np.mean(drawn) == pytest.approx(1000, rel=0.02)
    assert len(set(drawn)) > 10
    assert 15 < np.std(drawn) < 60  # of a binomial: 30


def test_less_epsilon_wants_more_noise_and_the_steps_keep_the_bound():
    strong, weak = (PrivacyPlan.of(PrivacyConfig(epsilon=at), 2000, 16, 300) for at in (1.0, 8.0))
    assert strong.noise > weak.noise
    assert 0.9 < strong.epsilon(300) <= 1.0
    assert strong.epsilon(100) < strong.epsilon(300)
    assert strong.epsilon(0) == 0


def test_what_cannot_be_had_is_said():
    with pytest.raises(ConfigError, match=r"training\.lm\.privacy\.epsilon 1e-09"):
        PrivacyPlan.of(PrivacyConfig(epsilon=1e-9), 20, 16, 5000)
    with pytest.raises(ValueError, match="judgements are made of the same lists"):
        LmConfig(privacy=PrivacyConfig(epsilon=1.0), judgements="file.jsonl")


def test_a_user_has_one_list_that_no_other_user_has_a_part_in():
    world = shop(60)
    count = CountRanker.fit(world.catalogue, world.events, TrainingConfig().count)

    def lists_of(events):
        found = training_lists(world.catalogue, events, count, 10, 5, 40, seed=1, one_each=True)
        return {events.users[one.user]: (one.rows.tolist(), one.request.history.tolist()) for one in found}

    everyone = lists_of(world.events)
    assert len(everyone) == 60
    without = lists_of(world.events.where(world.events.user != 7))
    assert without == {user: of for user, of in everyone.items() if user != world.events.users[7]}


def test_membership_is_told_by_losses_as_far_as_they_differ():
    rng = np.random.default_rng(0)
    assert membership_auc(rng.normal(0, 1, 3000), rng.normal(0, 1, 3000)) == pytest.approx(0.5, abs=0.03)
    assert membership_auc([0.1, 0.2], [0.3, 0.4]) == 1.0
    assert membership_auc([0.3], [0.3]) == 0.5
    assert membership_auc([], [1.0]) == 0.5


def config_of(folder, **more):
    lm = LmConfig(
        enabled=True, deploy="on", model=str(folder / "model"), joint_layers=1, history_tokens=64, lists=240,
        negatives=7, hard=40, steps=40, batch=16, judge_steps=20, learning_rate=5e-3, judge_lists=40, **more,
    )  # fmt: skip
    return TrainingConfig(threads=1, seed=3, device="cpu", interest=InterestConfig(enabled=False), lm=lm)


def test_a_private_training_says_its_epsilon_and_stays_within(tmp_path):
    encoder(tmp_path / "model", WORDS, layers=1)
    data = data_of(shop())
    private = config_of(tmp_path, privacy=PrivacyConfig(epsilon=4.0, delta=1e-3))
    _, outcome = fit_lm(data, blind(data, private), private, tmp_path / "private")
    assert 0 < outcome.training["epsilon"] <= 4.0
    assert outcome.training["lists"] <= 300  # one of each user
    assert outcome.training["membership_auc"] == pytest.approx(0.5, abs=0.25)
    plain = config_of(tmp_path)
    _, outcome = fit_lm(data, blind(data, plain), plain, tmp_path / "plain")
    assert outcome.training["epsilon"] == 0


@pytest.mark.parametrize(
    ("epsilon", "promoted", "words"),
    [(2.0, True, ""), (5.0, False, "epsilon of 5.00"), (0.0, False, "without differential privacy"), (None, True, "")],
)
def test_the_gate_wants_a_bound_where_one_is_set(epsilon, promoted, words):
    gate = EvaluationConfig().gate.model_copy(update={"max_epsilon": 3.0})
    good = Interval(0.5, 0.4, 0.6, 100)
    evidence = Evidence("NDCG@10", 100, 50, good, {"popularity": Interval(0.1, 0.05, 0.15, 100)}, [], epsilon=epsilon)
    verdict = judge(evidence, gate)
    assert verdict.promote == promoted
    assert words in " ".join(verdict.reasons)
    assert judge(evidence, EvaluationConfig().gate).promote
