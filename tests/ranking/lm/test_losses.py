"""Losses by hand, and where their gradients point."""

from __future__ import annotations

import math

import pytest
import torch

from liverank.ranking.lm.losses import LOSSES, distillation, lambdarank, listwise, pairwise, pointwise

ALL = torch.ones(1, 3, dtype=torch.bool)
SCORES, LABELS = torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[1.0, 0.0, 0.0]])


def test_listwise_is_the_cross_entropy_of_the_softmax():
    total = math.exp(1) + 1 + math.exp(2)
    assert float(listwise(SCORES, LABELS, ALL)) == pytest.approx(-math.log(math.exp(1) / total))
    both = torch.tensor([[2.0, 0.0, 2.0]])
    expected = -0.5 * (math.log(math.exp(1) / total) + math.log(math.exp(2) / total))
    assert float(listwise(SCORES, both, ALL)) == pytest.approx(expected)


def test_pairwise_is_the_mean_logistic_loss_of_pairs():
    expected = (math.log1p(math.exp(-1)) + math.log1p(math.exp(1))) / 2
    assert float(pairwise(SCORES, LABELS, ALL)) == pytest.approx(expected)


def test_lambdarank_weighs_pairs_by_their_change_of_ndcg():
    # The right one stands second: exchanged with the first it gains, with the third it loses so much.
    up, down = 1 - 1 / math.log2(3), 1 / math.log2(3) - 0.5
    expected = (up * math.log1p(math.exp(1)) + down * math.log1p(math.exp(-1))) / 2
    assert float(lambdarank(SCORES, LABELS, ALL)) == pytest.approx(expected)


def test_pointwise_is_the_mean_binary_cross_entropy():
    expected = (math.log1p(math.exp(-1)) + math.log(2) + math.log1p(math.exp(2))) / 3
    assert float(pointwise(SCORES, LABELS, ALL)) == pytest.approx(expected)


@pytest.mark.parametrize("name", LOSSES)
def test_padding_changes_nothing(name):
    loss = LOSSES[name]
    wide = torch.tensor([[1.0, 0.0, 2.0, 9.0]], requires_grad=True)
    there = torch.tensor([[True, True, True, False]])
    found = loss(wide, torch.tensor([[1.0, 0.0, 0.0, 0.0]]), there)
    assert float(found.detach()) == pytest.approx(float(loss(SCORES, LABELS, ALL)))
    found.backward()
    assert float(wide.grad[0, 3]) == 0
    assert torch.isfinite(wide.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_descent_lifts_the_right_one_above_the_others(name):
    scores = torch.zeros(1, 3, requires_grad=True)
    optimizer = torch.optim.SGD([scores], lr=1.0)
    for _ in range(20):
        optimizer.zero_grad()
        LOSSES[name](scores, LABELS, ALL).backward()
        optimizer.step()
    assert int(scores.argmax()) == 0
    assert float((scores[0, 0] - scores[0, 1:].max()).detach()) > 0.5


def test_distillation_is_a_divergence_with_gradients_of_one_size():
    teacher = torch.tensor([[3.0, 0.0, 1.0]])
    assert float(distillation(teacher + 5, teacher, ALL, 2.0)) == pytest.approx(0, abs=1e-6)
    assert float(distillation(SCORES, teacher, ALL, 1.0)) > 0.1
    sizes = []
    for temperature in (20.0, 40.0):
        scores = SCORES.clone().requires_grad_()
        distillation(scores, teacher, ALL, temperature).backward()
        sizes.append(float(scores.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)
