"""The re-ranker learns what goes together from texts alone, goes on where it was killed, and serves where it helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from liverank.errors import BundleError, DataError, TrainingError
from liverank.events import Item
from liverank.ranking.bundle_files import load_bundle, save_bundle
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.count import CountRanker
from liverank.ranking.fit import fit_rankers
from liverank.ranking.lm.cascade import CascadeRanker
from liverank.ranking.lm.fitting import fit_lm, help_fit_lm
from liverank.ranking.lm.loading import load_scorer
from liverank.ranking.lm.ranker import LmRanker, weights_mark
from liverank.ranking.lm.training import _Run, train
from liverank.ranking.lm.training_lists import training_lists
from liverank.ranking.protocol import Candidates, score
from liverank.ranking.ranks import Ranks
from tests.ranking.contract import RankerContract
from tests.ranking.hidden_pattern import shop
from tests.ranking.lm.together import blind, validation

CPU = torch.device("cpu")


def test_it_finds_what_goes_together_and_is_deployed(tuned):
    rankers, outcome = tuned
    assert outcome.deployed
    assert outcome.low > 0.1
    assert outcome.cascade > outcome.blend + 0.1
    assert outcome.training["judged"][-1] > outcome.training["judged"][0] + 0.1
    assert rankers["cascade"].weights[1] > 0


def test_where_it_does_not_help_it_is_not_deployed_and_says_so(goods, config, tmp_path):
    rng = np.random.default_rng(1)
    at_random = [replace(one, labels=rng.permutation(one.labels)) for one in goods.validation]
    goods = replace(goods, validation=at_random)
    few = config.model_copy(update={"lm": config.lm.model_copy(update={"steps": 4, "judge_steps": 2})})
    rankers, outcome = fit_lm(goods, blind(goods, few), few, tmp_path)
    assert not outcome.deployed
    assert rankers == {}
    assert "not deployed" in outcome.told()
    on = few.model_copy(update={"lm": few.lm.model_copy(update={"deploy": "on"})})
    rankers, outcome = fit_lm(goods, blind(goods, on), on, tmp_path)
    assert outcome.deployed
    assert rankers.keys() == {"lm", "cascade"}


# Training.


def run_of(goods, config, path):
    prompts, scorer = load_scorer(config.lm.model, config.lm, CPU)
    count = CountRanker.fit(goods.catalogue, goods.events, config.count)
    lists = training_lists(goods.catalogue, goods.events, count, 60, 5, 40, seed=1)
    torch.manual_seed(0)
    report = train(scorer, prompts, goods.catalogue, lists, config, lambda _: next(RISING), Checkpoint(path))
    return {name: of.detach().clone() for name, of in scorer.trained().items()}, report


RISING = iter(range(1000))


class Killed(BaseException):
    pass


def test_interrupted_it_ends_as_if_it_had_not_been(goods, config, tmp_path, monkeypatch):
    short = config.model_copy(update={"lm": config.lm.model_copy(update={"steps": 6, "judge_steps": 2})})
    whole, report = run_of(goods, short, tmp_path / "whole.safetensors")
    step = _Run.step

    def killed(run, number):
        if number == 5:
            raise Killed
        return step(run, number)

    monkeypatch.setattr(_Run, "step", killed)
    with pytest.raises(Killed):
        run_of(goods, short, tmp_path / "parts.safetensors")
    monkeypatch.setattr(_Run, "step", step)
    parts, again = run_of(goods, short, tmp_path / "parts.safetensors")
    assert (again.steps, len(again.judged)) == (report.steps, len(report.judged)) == (6, 4)
    assert parts.keys() == whole.keys()
    for name in whole:
        assert torch.equal(parts[name], whole[name]), name


def test_what_diverges_is_said(goods, config, tmp_path):
    wild = config.model_copy(update={"lm": config.lm.model_copy(update={"learning_rate": 1e30, "steps": 5})})
    with pytest.raises(TrainingError, match=r"training\.lm\.learning_rate"):
        run_of(goods, wild, tmp_path / "state.safetensors")


# In a bundle.


@pytest.fixture(scope="module")
def saved(goods, config, tmp_path_factory):
    """A bundle whose blend the re-ranker helps, by force."""
    forced = config.model_copy(
        update={"lm": config.lm.model_copy(update={"deploy": "on", "steps": 4, "judge_steps": 2})}
    )
    base = tmp_path_factory.mktemp("bundle")
    whole = fit_rankers(goods, forced, base / "checkpoints")
    manifest = save_bundle(base / "bundle", whole.catalogue, whole.rankers, forced, {"data_hash": "h"})
    return base / "bundle", whole, manifest


def test_a_bundle_serves_the_cascade_and_takes_new_items(saved):
    folder, whole, manifest = saved
    assert {"lm", "cascade"} <= set(manifest["rankers"])
    bundle = load_bundle(folder)
    assert bundle.primary.name == "cascade"
    request = validation(shop())[0].request
    np.testing.assert_array_equal(
        bundle.primary.score_batch([request])[0], whole.rankers["cascade"].score_batch([request])[0]
    )
    bundle.add_items([Item(item_id="fresh", title="old otter")])
    ids = [*request.candidates.item_ids, "fresh"]
    assert np.isfinite(score(bundle.primary, request.history, Candidates(ids), request.context)).all()
    assert bundle.primary.lm.catalogue is bundle.catalogue


def test_other_weights_than_those_that_were_tuned_are_refused(tuned, goods, tmp_path):
    lm = tuned[0]["lm"]
    (tmp_path / "lm").mkdir()
    LmRanker(goods.catalogue, lm.prompts, lm.scorer, lm.config, (lm.base[0], "another")).save(tmp_path / "lm")
    with pytest.raises(BundleError, match="other weights"):
        LmRanker.load(tmp_path / "lm", goods.catalogue)
    assert lm.base[1] == weights_mark(lm.base[0])


class TestContract(RankerContract):
    """To the tiny model most words of the synthetic shop are one and the same; it keeps the contract all the same."""

    @pytest.fixture(scope="class", autouse=True)
    def keep(self, tuned):
        type(self).LM = tuned[0]["lm"]

    def ranker(self, bundle):
        return self.LM.on(bundle.catalogue, np.zeros(0, np.int64))

    def reload(self, ranker, folder, bundle):
        return LmRanker.load(folder, bundle.catalogue)


class TestCascadeContract(TestContract):
    def ranker(self, bundle):
        weights = np.asarray([1.0, 0.5, 0.1], np.float32)
        return CascadeRanker(bundle.rankers["blend"], super().ranker(bundle), weights, 10)

    def reload(self, ranker, folder, bundle):
        return CascadeRanker.load(folder, {**bundle.rankers, "lm": ranker.lm})


# Nothing to learn from, or to judge on.


def test_without_anything_to_learn_from_it_says_so(goods, config, tmp_path):
    silent = replace(goods, catalogue=replace(goods.catalogue, texts=("",) * len(goods.catalogue)))
    with pytest.raises(DataError, match="nothing to learn from"):
        fit_lm(silent, blind(goods, config), config, tmp_path)


def test_processes_that_help_are_told_that_nothing_is_trained(goods, config, tmp_path):
    """They would wait for steps that the first one never makes."""
    said: list[float] = []

    class First(Ranks):
        def told(self, value):
            said.append(value)
            return value

    fit_lm(replace(goods, validation=goods.validation[:3]), blind(goods, config), config, tmp_path, First())
    assert said == [0.0]
    help_fit_lm(goods, blind(goods, config)["count"], config, tmp_path, First(rank=1))
    assert said == [0.0, 0.0]
    assert list(tmp_path.iterdir()) == []


def test_without_lists_to_judge_on_nothing_is_trained(goods, config, tmp_path):
    few = replace(goods, validation=goods.validation[:3])
    rankers, outcome = fit_lm(few, blind(goods, config), config, tmp_path)
    assert (rankers, outcome.deployed, outcome.training) == ({}, False, {})
    on = config.model_copy(update={"lm": config.lm.model_copy(update={"deploy": "on"})})
    with pytest.raises(DataError, match="Too few validation lists"):
        fit_lm(few, blind(goods, on), on, tmp_path)
