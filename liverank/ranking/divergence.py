"""Training that diverged: told at once, with what to do, instead of a model that ranks by numbers that are none."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from liverank.errors import TrainingError


def check_converging(what: str, setting: str, rate: float, losses: Iterable[float], tensors: Iterable[Tensor]) -> None:
    """Makes sure that losses and weights are finite.

    It waits for a GPU: once an epoch, and where the weights are written or judged.

    Args:
        what: the model in training, for the message.
        setting: the learning rate's place in the configuration.
        rate: the learning rate.
        losses: of the steps since the last look.
        tensors: weights, integers among them or not.

    Raises:
        TrainingError: some number is not finite.
    """
    if all(map(math.isfinite, losses)) and _finite(tensors):
        return
    raise diverged(what, setting, rate)


def diverged(what: str, setting: str, rate: float) -> TrainingError:
    """The error of a training whose numbers are no longer finite."""
    return TrainingError(
        f"The training of the {what} diverged: its loss or its weights are not finite.",
        f"Set {setting} below {rate:g}.",
    )


@torch.no_grad()
def _finite(tensors: Iterable[Tensor]) -> bool:
    # Sums, since they need no memory of the weights' size, and one answer of the device for all of them.
    sums = [tensor.detach().sum(dtype=torch.float32) for tensor in tensors if tensor.is_floating_point()]
    return not sums or bool(torch.stack(sums).isfinite().all())
