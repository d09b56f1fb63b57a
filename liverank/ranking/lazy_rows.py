"""AdamW for a table of which a step meets few rows: the numbers of the dense one, without touching the others.

A dense step reads and writes every row of a million items and their two moments, to move a few thousand. A row that
has no gradient for some steps is moved by its moments alone, and those shrink geometrically: what it would have come
to is a sum that does not depend on the row but for one factor, so that it is made up for when the row is met again.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Doubles = npt.NDArray[np.float64]
PIECE = 65_536
"""Rows that `settle_all` works on at once."""


class LazyRows:
    """Keeps a table's rows up to date on demand; the moments lie in the optimizer's state, as the dense ones would.

    Equal to the dense optimizer but for its `eps`, which is left out of the steps that are made up for.

    Args:
        table: its rows' gradients are sparse from now on.
        optimizer: holds the table's weight among its parameters, and skips it because it finds no gradient there.
    """

    def __init__(self, table: nn.Embedding, optimizer: torch.optim.AdamW) -> None:
        table.sparse = True
        self.weight = table.weight
        group = optimizer.param_groups[0]
        (self.first, self.second), self.eps, self.decay = group["betas"], group["eps"], group["weight_decay"]
        state = optimizer.state[self.weight]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(self.weight), torch.zeros_like(self.weight)
        self._step, self._mean, self._square = state["step"], state["exp_avg"], state["exp_avg_sq"]
        self._begin()

    def _begin(self) -> None:
        """Every row is up to date."""
        self._base = self._now = int(self._step)
        self._last = torch.full((len(self.weight),), self._base)
        """Step up to which each row is up to date."""
        self._moved: Doubles = np.zeros(1)
        """For each step since the base: by how many (mean / root of square) a row up to date then has moved since."""
        self._kept: Doubles = np.ones(1)
        """For each step since the base: what weight decay left of a row since."""

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows and moments; all up to date after `settle_all` only."""
        return self.weight.detach(), self._mean, self._square

    @torch.no_grad()
    def settle(self, rows: Tensor) -> None:
        """Makes up for the steps in which these (distinct) rows had no gradient."""
        rows = rows[self._last[rows] < self._now]
        if not len(rows):
            return
        since = self._last[rows] - self._base
        lag = (self._now - self._last[rows]).double().unsqueeze(1)
        moved, kept = (torch.from_numpy(table)[since].unsqueeze(1).float() for table in (self._moved, self._kept))
        mean, square = self._mean[rows], self._square[rows]
        direction = torch.where(square > 0, mean / square.sqrt(), 0.0)
        self.weight[rows] = self.weight[rows] * kept - moved * direction
        self._mean[rows] = mean * (self.first**lag).float()
        self._square[rows] = square * (self.second**lag).float()
        self._last[rows] = self._now

    def settle_all(self) -> None:
        """Brings every row up to date: before weights or moments are read as a whole."""
        for start in range(0, len(self.weight), PIECE):
            self.settle(torch.arange(start, min(start + PIECE, len(self.weight))))
        self._begin()

    def clipped_step(self, parameters: Iterable[nn.Parameter], most: float, rate: float) -> None:
        """Clips the gradients of all `parameters` to the norm `most`, and makes the step of the rows among them.

        The others keep their gradients for the optimizer, the table does not.
        """
        assert self.weight.grad is not None
        sparse, self.weight.grad = self.weight.grad.coalesce(), None
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        gradients.append(sparse.values())
        norm = torch.nn.utils.get_total_norm(gradients)
        for gradient in gradients:
            gradient.mul_((most / (norm + 1e-6)).clamp(max=1.0))
        self.step(sparse.indices()[0], sparse.values(), rate)

    @torch.no_grad()
    def step(self, rows: Tensor, gradient: Tensor, rate: float) -> None:
        """One step of AdamW (Loshchilov and Hutter, 2019): `rows` are distinct, `gradient` is `[rows, width]`."""
        self.settle(rows)
        self._advance(rate)
        mean = self._mean[rows].lerp_(gradient, 1 - self.first)
        square = self._square[rows].mul_(self.second).addcmul_(gradient, gradient, value=1 - self.second)
        denominator = (square.sqrt() / self._root).add_(self.eps)
        self.weight[rows] = self.weight[rows] * (1 - rate * self.decay) - rate / self._share * mean / denominator
        self._mean[rows], self._square[rows] = mean, square
        self._last[rows] = self._now

    def _advance(self, rate: float) -> None:
        self._now += 1
        self._step.fill_(self._now)
        self._share, self._root = 1 - self.first**self._now, (1 - self.second**self._now) ** 0.5
        left = 1 - rate * self.decay
        lag = np.arange(len(self._moved), 0, -1)
        shrunk = (self.first / self.second**0.5) ** lag
        self._moved = np.append(self._moved * left + rate * self._root / self._share * shrunk, 0.0)
        self._kept = np.append(self._kept * left, 1.0)
