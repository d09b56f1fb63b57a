"""A live request is read in NumPy: the numbers are those of the torch model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liverank.config.training import InterestConfig
from liverank.ranking.data import EncodedRequest
from liverank.ranking.interest_inputs import inputs_of
from liverank.ranking.interest_model import InterestModel
from liverank.ranking.numpy_network import NumpyReader
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.ranking.query_network import TorchNetwork

ITEMS, LENGTH = 40, 60
NOBODY = Request(History(), Candidates(()), Context(1_770_000_000.0))


def model_of(**more) -> InterestModel:
    """Weights far from their first values: gates, norms and biases all count."""
    torch.manual_seed(3)
    settings = {"dimension": 32, "heads": 4, "layers": 2, "history_length": LENGTH, **more}
    model = InterestModel(torch.ones(ITEMS), 2, 8, InterestConfig.model_validate(settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def request_of(events: int, a_step: int) -> EncodedRequest:
    rng = np.random.default_rng(events)
    times = 1_769_000_000.0 + 977.0 * (np.arange(events) // a_step)
    back = (len(np.unique(times)) - 1 - np.arange(events) // a_step).astype(np.int64)
    types = tuple(rng.choice(["a", "b", "unknown"], events))
    return EncodedRequest(NOBODY, rng.integers(0, ITEMS, events), types, times, back, np.arange(3))


@pytest.mark.parametrize("a_step", [1, 3])
@pytest.mark.parametrize("events", [1, 2, 7, LENGTH, 200])
@pytest.mark.parametrize(
    "more", [{}, {"block": "attention"}, {"layers": 1}, {"layers": 3, "heads": 1}, {"block": "attention", "heads": 2}]
)
def test_the_numbers_are_those_of_torch(more, events, a_step):
    model = model_of(**more)
    inputs = inputs_of([request_of(events, a_step)], {"a": 0, "b": 1}, LENGTH)
    vectors = np.random.default_rng(1).normal(size=(len(inputs.rows), 32)).astype(np.float32)
    network = TorchNetwork(model)
    found = network.queries(vectors, inputs)
    network._single = None
    expected = network.queries(vectors, inputs)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_large_states_overflow_nowhere():
    model = model_of()
    inputs = inputs_of([request_of(20, 1)], {"a": 0, "b": 1}, LENGTH)
    vectors = np.full((20, 32), 1e4, np.float32)
    vectors[::2] *= -1
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(NumpyReader(model).read(vectors, inputs)).all()


@pytest.mark.parametrize("block", ["hstu", "lstm"])
def test_other_layers_are_left_to_torch(block):
    model = model_of(block=block)
    assert not NumpyReader.can_read(model)
    inputs = inputs_of([request_of(5, 1)], {"a": 0, "b": 1}, LENGTH)
    assert TorchNetwork(model).queries(np.ones((5, 32), np.float32), inputs).shape == (1, 32)
