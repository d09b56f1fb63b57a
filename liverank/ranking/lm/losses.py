"""Losses of a re-ranker over lists: scores and labels are `[lists, candidates]`, padding is masked out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Scores, labels (not negative) and where there is a candidate -> mean over the lists, a scalar."""


def listwise(scores: Tensor, labels: Tensor, there: Tensor) -> Tensor:
    """Cross-entropy of the labels' shares and the softmax of the scores (ListNet, Cao et al., 2007)."""
    shares = labels / labels.sum(-1, keepdim=True).clamp(min=1e-9)
    logs = scores.masked_fill(~there, float("-inf")).log_softmax(-1).masked_fill(~there, 0.0)
    return -(shares * logs).sum(-1).mean()


def pairwise(scores: Tensor, labels: Tensor, there: Tensor) -> Tensor:
    """Logistic loss of pairs with different labels (RankNet, Burges et al., 2005), the mean over each list's pairs."""
    return _pairs(scores, labels, there, torch.ones_like(scores)[:, :, None])


def lambdarank(scores: Tensor, labels: Tensor, there: Tensor) -> Tensor:
    """As `pairwise`, each pair weighed by what exchanging the two changes of NDCG (Burges et al., 2006)."""
    order = scores.detach().masked_fill(~there, float("-inf")).argsort(dim=-1, descending=True, stable=True)
    place = torch.zeros_like(order).scatter_(
        -1, order, torch.arange(scores.shape[-1], device=scores.device).expand_as(order)
    )
    discount = 1 / torch.log2(place + 2.0)
    best = labels.sort(-1, descending=True).values
    ideal = (best / torch.log2(torch.arange(2, best.shape[-1] + 2, device=best.device))).sum(-1).clamp(min=1e-9)
    change = (labels[:, :, None] - labels[:, None, :]).abs() * (discount[:, :, None] - discount[:, None, :]).abs()
    return _pairs(scores, labels, there, change / ideal[:, None, None])


def pointwise(scores: Tensor, labels: Tensor, there: Tensor) -> Tensor:
    """Binary cross-entropy of each candidate, the mean over each list's."""
    each = binary_cross_entropy_with_logits(scores, (labels > 0).to(scores.dtype), reduction="none")
    return ((each * there).sum(-1) / there.sum(-1).clamp(min=1)).mean()


LOSSES: Final[dict[str, Loss]] = {
    "listwise": listwise,
    "lambdarank": lambdarank,
    "pairwise": pairwise,
    "pointwise": pointwise,
}


def distillation(scores: Tensor, teacher: Tensor, there: Tensor, temperature: float) -> Tensor:
    """KL divergence of the scores' softmax from the teacher's, both at a temperature, times its square.

    The factor keeps gradients of one size whatever the temperature (Hinton et al., 2015).
    """
    mine = (scores / temperature).masked_fill(~there, float("-inf")).log_softmax(-1).masked_fill(~there, 0.0)
    taught = (teacher / temperature).masked_fill(~there, float("-inf")).log_softmax(-1).masked_fill(~there, 0.0)
    shares = taught.exp() * there
    return temperature**2 * (shares * (taught - mine)).sum(-1).mean()


def _pairs(scores: Tensor, labels: Tensor, there: Tensor, weight: Tensor) -> Tensor:
    """Logistic loss over ordered pairs, the weighted mean of each list's."""
    better = (labels[:, :, None] > labels[:, None, :]) & there[:, :, None] & there[:, None, :]
    weights = better * weight
    each = softplus(scores[:, None, :] - scores[:, :, None]) * weights
    return (each.sum((1, 2)) / better.sum((1, 2)).clamp(min=1)).mean()
