"""Steps of the interest model's optimiser: gradients of all parts and processes, then one move of the weights."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from liverank import progress
from liverank.ranking.batch_feed import Part
from liverank.ranking.interactions import Rows
from liverank.ranking.lazy_rows import LazyRows
from liverank.ranking.schedule import learning_rate
from liverank.ranking.weight_average import WeightAverage

if TYPE_CHECKING:
    from liverank.config.training import InterestConfig
    from liverank.ranking.checkpoint import TrainingState
    from liverank.ranking.interest_data import Sequences
    from liverank.ranking.interest_loss import InterestLoss
    from liverank.ranking.interest_model import InterestModel
    from liverank.ranking.ranks import Ranks

BETAS = (0.9, 0.98)
"""AdamW's: a second moment of some fifty steps, for the rare gradients of rare items."""
MOST_GRADIENT = 1.0
"""Norm that gradients are clipped to."""
LAZY_ITEMS = 100_000
"""Items from which a step on a CPU only touches those it samples; a GPU is through with all of them sooner."""


def optimizer_of(model: InterestModel, config: InterestConfig) -> torch.optim.AdamW:
    """AdamW over all parameters."""
    return torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=BETAS, fused=True
    )


def precision_on(device: torch.device) -> Any:
    """A context: products in bfloat16 on a GPU, everything in float32 on a CPU."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()


class InterestSteps:
    """Everything that a step reads and writes, beside the place in the training that `state` tells."""

    def __init__(
        self,
        loss: InterestLoss,
        sequences: Sequences,
        optimizer: torch.optim.AdamW,
        state: TrainingState,
        config: InterestConfig,
        seed: int,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        """Takes what is trained.

        Args:
            loss: with the model, on the device.
            sequences: that batches are of.
            optimizer: of the model, as the checkpoint left it.
            state: where training stands.
            config: settings.
            seed: of every random choice.
            device: of the model.
            ranks: the processes, joined.
        """
        self.model, self.loss, self.sequences, self.optimizer = loss.model, loss, sequences, optimizer
        self.state, self.config, self.seed, self.device, self.ranks = state, config, seed, device, ranks
        self.flops = 0.0
        """Operations of this process's steps so far."""
        self.rows = self._lazy_rows()
        self.average = self._averaged()
        self._shared = _distributed(loss, device) if ranks.world > 1 else loss

    def _lazy_rows(self) -> LazyRows | None:
        few = self.loss.sampled and self.model.ids.num_embeddings >= LAZY_ITEMS
        if not few or self.device.type != "cpu":
            return None
        rows = LazyRows(self.model.ids, self.optimizer)
        self.loss.before_reading = rows.settle
        return rows

    def _averaged(self) -> WeightAverage | None:
        """The average of weights; none where a step touches few rows only, of which it would touch all."""
        if not self.config.averaging:
            return None
        if self.rows:
            if self.ranks.first:
                progress.note(
                    "weights are not averaged (training.interest.averaging): on a CPU, steps over a catalogue of "
                    f"{LAZY_ITEMS:,} items only touch those they sample"
                )
            return None
        average = WeightAverage(self.model, self.config.averaging)
        average.restore(self.state.average)
        self.state.average = average.tensors
        return average

    def settle(self) -> None:
        """Brings the learned item vectors up to date, the same in every process."""
        if self.rows:
            self.rows.settle_all()
            self.ranks.copied(self.rows.tensors)

    def __call__(self, windows: Rows, parts: list[Part], number: int, steps: int) -> Tensor:
        """One step of the optimiser on all parts of a batch; this process's share of the mean loss."""
        # Chance of a step's own: a run that goes on needs no more than the step's number.
        seeds = np.random.SeedSequence([self.seed, self.state.epoch, number, self.ranks.rank])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        rate = self.config.learning_rate * learning_rate(self.state.epoch * steps + number, self.config.epochs * steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Every process knows the whole batch, so nobody needs to ask how much there is.
        asks = self.sequences.questions_of(windows)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for at, part in enumerate(parts):
            total += self._backward(part, asks, last=at == len(parts) - 1)
        if not parts:  # The other processes wait for this one's gradients.
            self._backward(None, asks, last=True)
        if self.rows:
            self.rows.clipped_step(self.model.parameters(), MOST_GRADIENT, rate)
        else:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), MOST_GRADIENT)
        self.optimizer.step()
        if self.average:
            self.average.update(self.state.epoch * steps + number)
        return total

    def _backward(self, part: Part | None, asks: int, last: bool) -> Tensor:
        """Adds the gradients of a part's loss, weighed by its share of the `asks` questions of all processes."""
        waits = isinstance(self._shared, DistributedDataParallel) and not last
        share = len(part.batch.asks) / asks if part is not None and asks else 0.0
        with self._shared.no_sync() if waits else nullcontext():  # type: ignore[operator]
            with precision_on(self.device):
                loss = self._shared(part.batch if part else None) * share
            # Gradients of processes are averaged, and a sum is wanted.
            torch.autograd.backward(loss * self.ranks.world)
        if part is not None:
            self.flops += self.model.flops(part.steps, part.attended, len(part.batch.asks), self.loss.items)
        detached: Tensor = loss.detach()
        return detached


def _distributed(loss: InterestLoss, device: torch.device) -> DistributedDataParallel:
    devices = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(loss, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True)
