"""The softmax loss: equal to torch's own cross-entropy, and sampled towards the full one's optimum."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from liverank.ranking import softmax_loss as module
from liverank.ranking.softmax_loss import softmax_loss


def one_target_each(questions: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.arange(questions), torch.randint(30, (questions,)), torch.ones(questions)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("piece", [1, 7, 256])
def test_value_and_gradients_are_those_of_torch(monkeypatch, smoothing, piece):
    monkeypatch.setattr(module, "PIECE", piece)
    torch.manual_seed(1)
    queries = torch.randn(20, 8, requires_grad=True)
    items = torch.randn(30, 8, requires_grad=True)
    pairs, targets, weights = one_target_each(20)
    ours = softmax_loss(queries, items, pairs, targets, weights, smoothing)
    theirs = functional.cross_entropy(queries @ items.T, targets, label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(
        torch.autograd.grad(3 * ours, (queries, items)), torch.autograd.grad(3 * theirs, (queries, items)), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_several_weighted_targets_are_a_distribution():
    torch.manual_seed(2)
    queries, items = torch.randn(3, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    pairs, targets = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([1, 4, 0, 2, 3, 5])
    weights = torch.tensor([0.25, 0.75, 1.0, 0.2, 0.2, 0.6])
    wanted = torch.zeros(3, 6)
    wanted[pairs, targets] = weights
    ours = softmax_loss(queries, items, pairs, targets, weights)
    theirs = functional.cross_entropy(queries @ items.T, wanted)
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(
        torch.autograd.grad(ours, (queries, items)), torch.autograd.grad(theirs, (queries, items)), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_a_question_without_a_target_in_it_costs_only_its_normaliser():
    queries, items = torch.zeros(2, 4), torch.zeros(5, 4)
    loss = softmax_loss(queries, items, torch.tensor([0]), torch.tensor([2]), torch.ones(1))
    assert float(loss) == pytest.approx(torch.log(torch.tensor(5.0)).item())


def test_the_log_chance_of_a_rarely_sampled_item_raises_its_logit():
    queries, items = torch.ones(1, 2), torch.ones(3, 2)
    chance = torch.tensor([0.0, -1.0, 0.0])
    loss = softmax_loss(queries, items, torch.tensor([0]), torch.tensor([1]), torch.ones(1), 0.0, chance)
    expected = functional.cross_entropy(torch.tensor([[2.0, 3.0, 2.0]]), torch.tensor([1]))
    torch.testing.assert_close(loss, expected)


def test_far_apart_logits_stay_finite():
    queries = torch.tensor([[100.0]], requires_grad=True)
    items = torch.tensor([[1.0], [-10.0]], requires_grad=True)
    loss = softmax_loss(queries, items, torch.tensor([0]), torch.tensor([1]), torch.ones(1))
    assert float(loss) == pytest.approx(1100.0)
    assert torch.isfinite(torch.autograd.grad(loss, queries)[0]).all()
