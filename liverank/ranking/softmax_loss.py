"""Cross-entropy of a softmax over items, computed a piece of the questions at a time.

The logits of a batch (questions x items) are the largest thing that training touches. Here a piece of them is made,
turned into its gradient in place and forgotten, so that memory does not grow with the batch and a piece stays in the
processor's cache: about half the time of torch's own cross-entropy on a CPU, and a few megabytes instead of hundreds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PIECE = 256
"""Questions whose logits are held at once on a CPU: as many as stay in its cache."""
GPU_LOGITS = 2**26
"""Logits held at once on a GPU, which wants few large products: 256 MiB."""


class SoftmaxLoss(torch.autograd.Function):
    """Mean over questions of the label-smoothed cross-entropy; call it through `softmax_loss`."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        items: Tensor,
        pairs: Tensor,
        targets: Tensor,
        weights: Tensor,
        smoothing: float,
        log_chance: Tensor | None,
    ) -> Tensor:
        """See `softmax_loss`."""
        asking, offered = (tensor.detach().to(_product_type(queries, items)) for tensor in (queries, items))
        to_queries = torch.empty_like(queries)
        to_items = torch.zeros_like(items, dtype=torch.float32)
        total = torch.zeros((), device=queries.device)
        for start, part in _pieces(len(queries), _piece_of(items), pairs):
            asked = asking[start : start + _piece_of(items)]
            loss, gradient = _piece(
                asked, offered, pairs[part] - start, targets[part], weights[part], smoothing, log_chance
            )
            total += loss
            gradient = gradient.div_(len(queries)).to(offered.dtype)
            to_queries[start : start + len(asked)] = gradient @ offered
            # The sum over the pieces is kept in full precision.
            to_items += gradient.T @ asked
        to_items = to_items.to(items.dtype)
        ctx.save_for_backward(to_queries, to_items)
        return total / len(queries)

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        """Gradients were computed beside the loss; they are scaled here."""
        to_queries, to_items = ctx.saved_tensors
        return to_queries * outer[0], to_items * outer[0], None, None, None, None, None


def _product_type(queries: Tensor, items: Tensor) -> torch.dtype:
    """What the products are computed in: autocast's type where that is on, else the finer of the two."""
    kind = queries.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return torch.promote_types(queries.dtype, items.dtype)


def _piece_of(items: Tensor) -> int:
    return PIECE if items.device.type == "cpu" else max(PIECE, GPU_LOGITS // max(1, len(items)))


def _pieces(questions: int, piece: int, pairs: Tensor) -> list[tuple[int, slice]]:
    """First question of each piece, and which of the targets are its questions'."""
    if questions <= piece:
        return [(0, slice(None))]
    starts = range(0, questions, piece)
    # One question more than there are: all targets lie before it.
    edges = torch.searchsorted(pairs, torch.tensor([*starts, questions], device=pairs.device)).tolist()
    return [(start, slice(*edges[at : at + 2])) for at, start in enumerate(starts)]


def _piece(
    asked: Tensor,
    items: Tensor,
    pairs: Tensor,
    targets: Tensor,
    weights: Tensor,
    smoothing: float,
    log_chance: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Sum of the losses of some questions, and its gradient by their logits, `[questions, items]`."""
    logits = (asked @ items.T).float()
    if log_chance is not None:
        logits -= log_chance
    largest = logits.amax(dim=1)
    hit = (weights * logits[pairs, targets]).sum()
    smooth = logits.mean(dim=1).sum() if smoothing else logits.new_zeros(())
    chance = torch.softmax(logits, dim=1)
    # log of the sum of exponentials, from the largest chance: never below 1 / items, so its logarithm is safe.
    normaliser = (largest - chance.amax(dim=1).log()).sum()
    loss = normaliser - (1 - smoothing) * hit - smoothing * smooth
    chance.index_put_((pairs, targets), -(1 - smoothing) * weights, accumulate=True)
    return loss, chance.sub_(smoothing / items.shape[0])


def softmax_loss(
    queries: Tensor,
    items: Tensor,
    pairs: Tensor,
    targets: Tensor,
    weights: Tensor,
    smoothing: float = 0.0,
    log_chance: Tensor | None = None,
) -> Tensor:
    """Mean over questions of -(1 - smoothing) sum_t w_t log p(t) - smoothing mean_j log p(j), a scalar.

    p is the softmax of `queries @ items.T - log_chance`.

    Args:
        queries: `[questions, width]`.
        items: `[items, width]`, those that compete.
        pairs: question of each target, ascending, `[targets]`.
        targets: row of `items` of each target, `[targets]`.
        weights: of each target; those of one question sum to 1, `[targets]`.
        smoothing: share of the target given to all items alike (Szegedy et al., 2016).
        log_chance: log of the chance that an item was sampled, `[items]`: the logQ correction (Bengio and Senecal,
            2008), with which a sampled softmax aims at the full one's optimum.
    """
    loss: Tensor = SoftmaxLoss.apply(  # type: ignore[no-untyped-call]
        queries, items, pairs, targets, weights, smoothing, log_chance
    )
    return loss
