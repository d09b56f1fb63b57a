"""The moving average of weights: what it is, that it is what training returns, and that it survives a stop."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from liverank.ranking import interest_steps
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.interest_training import train
from liverank.ranking.weight_average import WeightAverage
from tests.ranking.ranks_world import config_of, world


def test_it_is_the_forgetful_mean_of_what_it_saw():
    model = nn.Linear(3, 2)
    average, expected = WeightAverage(model, 0.6), model.weight.detach().clone()
    for done in range(20):
        with torch.no_grad():
            model.weight.add_(torch.randn(2, 3))
        average.update(done)
        decay = min(0.6, (1 + done) / (10 + done))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(average.tensors["weight"], expected)


def test_the_model_has_it_while_it_is_in_place_and_its_own_weights_afterwards():
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        model.weight.zero_()
    average.update(0)
    own, mean = model.weight.detach().clone(), average.tensors["weight"].clone()
    with average.in_place():
        torch.testing.assert_close(model.weight.detach(), mean, rtol=0, atol=0)
        assert mean.any()
    torch.testing.assert_close(model.weight.detach(), own, rtol=0, atol=0)
    torch.testing.assert_close(average.tensors["weight"], mean, rtol=0, atol=0)


def run(path, **more):
    catalogue, events = world()
    checkpoint = Checkpoint(path / "checkpoint.safetensors")
    return train(catalogue.embeddings, events, config_of(epochs=3, **more), None, checkpoint)


@pytest.mark.parametrize("averaging", [0, 0.9])
def test_training_returns_the_mean_of_its_steps_weights(tmp_path, monkeypatch, averaging):
    first, seen = {}, []

    class Watched(WeightAverage):
        def __init__(self, model, decay):
            super().__init__(model, decay)
            first.update({name: of.clone() for name, of in self.tensors.items()})

        def update(self, done):
            super().update(done)
            seen.append((self.decay, {name: of.detach().clone() for name, of in self._parameters.items()}))

    monkeypatch.setattr(interest_steps, "WeightAverage", Watched)
    returned = run(tmp_path, averaging=averaging)[0].state_dict()
    if not averaging:
        assert not seen
        return
    mean = first
    for done, (decay, weights) in enumerate(seen):
        share = min(decay, (1 + done) / (10 + done))
        mean = {name: share * mean[name] + (1 - share) * of for name, of in weights.items()}
    for name, of in mean.items():
        torch.testing.assert_close(returned[name], of)
    last = seen[-1][1]
    assert any((returned[name] - of).abs().max() > 1e-4 for name, of in last.items())


def test_it_goes_on_with_the_average_it_had(tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    whole = run(tmp_path / "whole", averaging=0.9)[0].state_dict()
    steps = 0

    class Stopped(Exception):
        pass

    def update(self, done, update=WeightAverage.update):
        nonlocal steps
        steps += 1
        if steps == 7:
            raise Stopped
        update(self, done)

    with monkeypatch.context() as patched:
        patched.setattr(WeightAverage, "update", update)
        with pytest.raises(Stopped):
            run(tmp_path, averaging=0.9, checkpoint_steps=2)
    for name, of in run(tmp_path, averaging=0.9, checkpoint_steps=2)[0].state_dict().items():
        torch.testing.assert_close(whole[name], of, rtol=0, atol=0)


@pytest.mark.parametrize("averaging", [0, 0.9])
def test_where_weights_cannot_be_averaged_it_is_said(tmp_path, monkeypatch, capsys, averaging):
    monkeypatch.setattr(interest_steps, "LAZY_ITEMS", 1)
    run(tmp_path, averaging=averaging, full_softmax_items=4, negatives=3)
    assert ("weights are not averaged (training.interest.averaging)" in capsys.readouterr().err) == bool(averaging)
