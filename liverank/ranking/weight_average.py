"""The moving average of a model's weights over the steps of its training, which is judged and kept in their place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average of parameters (Polyak and Juditsky, 1992, in its forgetful form).

    Weights of small batches jump about an optimum; their average lies nearer to it, and two epochs' averages can be
    told apart on fewer lists than two epochs' weights.

    Args:
        model: whose parameters are averaged; buffers are not.
        decay: weight of the average so far in each step, below 1; the first steps weigh more.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = dict(model.named_parameters())
        self.tensors: dict[str, Tensor] = {name: of.detach().clone() for name, of in self._parameters.items()}
        """Name of the parameter -> its average, where the parameter lies."""

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Goes on from what `tensors` was."""
        for name, of in tensors.items():
            self.tensors[name].copy_(of)

    @torch.no_grad()
    def update(self, done: int) -> None:
        """Takes the parameters in, after `done` steps of the optimiser."""
        decay = min(self.decay, (1 + done) / (10 + done))
        current = [of.detach() for of in self._parameters.values()]
        torch._foreach_lerp_(list(self.tensors.values()), current, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Lets the model have the average while it is open."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            kept = parameter.detach().clone()
            parameter.copy_(self.tensors[name])
            self.tensors[name].copy_(kept)
