"""The divergence from a teacher: equal to torch's own, value and gradient, whatever the piece."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from liverank.ranking import soft_targets as module
from liverank.ranking.soft_targets import soft_target_loss


def reference(queries, items, taught_queries, taught_items, temperature, log_chance):
    """Hinton et al. (2015), with torch's own functions."""
    shift = 0 if log_chance is None else log_chance
    taught = functional.log_softmax(taught_queries @ taught_items.T / temperature - shift, dim=1)
    said = functional.log_softmax(queries @ items.T / temperature - shift, dim=1)
    return temperature**2 * functional.kl_div(said, taught, reduction="batchmean", log_target=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("piece", [1, 7, 256])
@pytest.mark.parametrize("sampled", [False, True])
def test_value_and_gradients_are_those_of_torch(monkeypatch, temperature, piece, sampled):
    monkeypatch.setattr(module, "PIECE", piece)
    torch.manual_seed(1)
    queries, items = torch.randn(20, 8, requires_grad=True), torch.randn(30, 8, requires_grad=True)
    taught = torch.randn(20, 12), torch.randn(30, 12)
    chance = -torch.rand(30) if sampled else None
    ours = soft_target_loss(queries, items, *taught, temperature, chance)
    theirs = reference(queries, items, *taught, temperature, chance)
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(
        torch.autograd.grad(3 * ours, (queries, items)), torch.autograd.grad(3 * theirs, (queries, items)), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_a_student_that_says_the_same_loses_nothing():
    queries, items = torch.randn(5, 4, requires_grad=True), torch.randn(9, 4)
    loss = soft_target_loss(queries, items, queries.detach(), items, 2.0)
    assert float(loss.detach()) == pytest.approx(0, abs=1e-5)
    assert torch.autograd.grad(loss, queries)[0].abs().max() < 1e-6


def test_far_apart_logits_stay_finite():
    queries = torch.tensor([[100.0]], requires_grad=True)
    loss = soft_target_loss(
        queries, torch.tensor([[1.0], [-10.0]]), torch.tensor([[-100.0]]), torch.tensor([[1.0], [-1.0]])
    )
    assert torch.isfinite(loss)
    assert torch.isfinite(torch.autograd.grad(loss, queries)[0]).all()
