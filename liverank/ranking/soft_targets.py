"""Divergence of a softmax over items from a teacher's, computed a piece of the questions at a time.

As in `softmax_loss`, a piece of the logits is made, turned into its gradient and forgotten: memory does not grow with
the batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PIECE = 256
"""Questions whose logits are held at once."""


class SoftTargets(torch.autograd.Function):
    """Mean over questions of the scaled divergence; call it through `soft_target_loss`."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        items: Tensor,
        taught_queries: Tensor,
        taught_items: Tensor,
        temperature: float,
        log_chance: Tensor | None,
    ) -> Tensor:
        """See `soft_target_loss`."""
        queries, items = queries.detach(), items.detach()
        to_queries, to_items = torch.empty_like(queries), torch.zeros_like(items)
        total = queries.new_zeros((), dtype=torch.float32)
        for start in range(0, len(queries), PIECE):
            asked = queries[start : start + PIECE]
            taught = _log_softmax(taught_queries[start : start + PIECE], taught_items, temperature, log_chance)
            said = _log_softmax(asked, items, temperature, log_chance)
            chance = taught.exp()
            total += temperature**2 * (chance * (taught - said)).sum()
            gradient = said.exp_().sub_(chance).mul_(temperature / len(queries)).to(items.dtype)
            to_queries[start : start + PIECE] = gradient @ items
            to_items.addmm_(gradient.T, asked)
        ctx.save_for_backward(to_queries, to_items)
        return total / len(queries)

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        """Gradients were computed beside the loss; they are scaled here."""
        to_queries, to_items = ctx.saved_tensors
        return to_queries * outer[0], to_items * outer[0], None, None, None, None


def _log_softmax(queries: Tensor, items: Tensor, temperature: float, log_chance: Tensor | None) -> Tensor:
    logits = (queries @ items.T).float() / temperature
    return torch.log_softmax(logits if log_chance is None else logits - log_chance, dim=1)


def soft_target_loss(
    queries: Tensor,
    items: Tensor,
    taught_queries: Tensor,
    taught_items: Tensor,
    temperature: float = 1.0,
    log_chance: Tensor | None = None,
) -> Tensor:
    """Mean over questions of temperature^2 KL(teacher || student), a scalar (Hinton et al., 2015).

    Both are softmaxes of logits / temperature - log_chance over the same items; the square keeps the gradients as large
    as those of the hard targets. Only the student's arguments have a gradient.

    Args:
        queries: of the student, `[questions, width]`.
        items: of the student, `[items, width]`.
        taught_queries: of the teacher, `[questions, its width]`.
        taught_items: of the teacher, `[items, its width]`.
        temperature: above 1 tells more of the items that are less likely.
        log_chance: log of the chance that an item was sampled, `[items]`, as in `softmax_loss`.
    """
    loss: Tensor = SoftTargets.apply(  # type: ignore[no-untyped-call]
        queries, items, taught_queries, taught_items, temperature, log_chance
    )
    return loss
