"""Training of the interest model: one process or many, CPU or GPU, with checkpoints that survive kill -9."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from liverank import progress
from liverank.config.training import InterestConfig, TrainingConfig
from liverank.errors import ConfigError
from liverank.ranking.checkpoint import Checkpoint, TrainingState
from liverank.ranking.data import Events, Floats, Rows
from liverank.ranking.interest_data import Batch, Sequences
from liverank.ranking.interest_loss import InterestLoss, TensorBatch
from liverank.ranking.interest_model import InterestModel
from liverank.ranking.ranks import Ranks
from liverank.ranking.speed import matrix_flops

if TYPE_CHECKING:
    from liverank.ranking.teachers import Teachers

WARM_UP = 0.05
"""Share of all steps in which the learning rate rises to its peak."""
BATCHES_AN_EPOCH = 200
"""Batches of an epoch, where their size is not given: small sets need small batches, large ones can do with large."""
BATCH_STEPS = (512, 4096)
BETAS = (0.9, 0.98)
"""AdamW's: a second moment of some fifty steps, for the rare gradients of rare items."""
Validate = Callable[[InterestModel], float]


@dataclass(frozen=True)
class InterestReport:
    """How training went; times are in seconds and cover this run only."""

    epochs: int
    best_epoch: int
    best_ndcg: float
    events_per_second: float
    """Of all processes together."""
    flop_utilisation: float
    """Operations of the model a second, as a share of what a large matrix product reaches on the same device."""
    padding: float
    """Share of places of the batches that hold no step."""
    parameters: int
    device: str
    processes: int


def pick_device(wanted: str, local: int = 0) -> torch.device:
    """The device to train on; `auto` is a GPU when there is one, the `local`-th.

    Raises:
        ConfigError: a GPU is wanted and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ConfigError("training.device is cuda, but torch finds no GPU.", "Set it to auto or cpu.")
    return torch.device("cuda", local) if available and wanted != "cpu" else torch.device("cpu")


def train(
    features: Floats,
    events: Events,
    config: TrainingConfig,
    validate: Validate | None,
    checkpoint: Checkpoint,
    ranks: Ranks | None = None,
    teachers: Teachers | None = None,
) -> tuple[InterestModel, InterestReport]:
    """Trains from the checkpoint, where there is one, to the same weights as without interruption.

    `validate` judges the model after each epoch (higher is better); the best epoch's weights are returned. Without it
    all epochs run and the last weights are returned. `features` are the items' text features, `[items, width]`. Where
    several processes train together each calls this with the
    same data, and all return the same weights; a step's batch is shared out among them. `teachers` take their part of
    the loss.
    """
    ranks = ranks or Ranks.from_environment()
    device = pick_device(config.device, ranks.local)
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        with ranks.joined(device):
            run = _Run(features, events, config, checkpoint, device, ranks, teachers)
            with progress.stage("train interest model", run.total_events) as stage:
                run.to_the_end(validate, stage)
            return run.finished()
    finally:
        torch.set_num_threads(before)


class _Run:
    """One training run: everything that a step reads and writes."""

    def __init__(
        self,
        item_features: Floats,
        events: Events,
        config: TrainingConfig,
        checkpoint: Checkpoint,
        device: torch.device,
        ranks: Ranks,
        teachers: Teachers | None,
    ) -> None:
        self.config: InterestConfig = config.interest
        self.seed, self.device, self.ranks, self.checkpoint = config.seed, device, ranks, checkpoint
        torch.manual_seed(self.seed)
        features = torch.from_numpy(item_features)
        met = torch.from_numpy(np.bincount(events.item, minlength=len(features)))
        self.model = InterestModel(met, len(events.types), features.shape[1], self.config)
        self.model.standardise(features)
        self.model.to(device)
        self.sequences = Sequences(events, self.config.history_length)
        self.loss = InterestLoss(
            self.model, events, self.sequences, features.to(device), self.config, teachers and teachers.to(device)
        )
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            betas=BETAS,
            fused=True,
        )
        self.state = checkpoint.load(self.model, self.optimizer) or TrainingState()
        self.shared = _distributed(self.loss, device) if ranks.world > 1 else self.loss
        if self.config.compile:
            for block in self.model.blocks:
                block.compile(dynamic=True)
        self.batch_steps = self.config.batch_steps or _batch_steps(self.sequences.total_steps)
        self.total_events = self.sequences.total_events * self.config.epochs
        self.speed = 0.0

    def to_the_end(self, validate: Validate | None, stage: progress.Stage) -> None:
        stage.done = self.total_events * self.state.epoch / self.config.epochs
        while not self._over():
            self._epoch(stage)
            value = validate(self.model) if validate and self.ranks.first else float(self.state.epoch + 1)
            self._judge(self.ranks.told(value, self.device))
            if self.ranks.first:
                self.checkpoint.save(self.model, self.optimizer, self.state)
                if validate:
                    progress.note(f"epoch {self.state.epoch}: validation NDCG@10 {value:.4f}")

    def _over(self) -> bool:
        state = self.state
        return state.epoch >= self.config.epochs or state.epochs_without_gain >= self.config.patience

    def _epoch(self, stage: progress.Stage) -> None:
        rng = np.random.default_rng([self.seed, self.state.epoch])
        batches = self.sequences.batches(self.batch_steps, rng)
        started, seen = time.monotonic(), 0
        self.model.train()
        for number, (events, parts) in enumerate(self._prepared(batches), start=self.state.step):
            loss = self._step(parts, number, len(batches))
            self.state.step = number + 1
            seen += events
            self.speed = seen / (time.monotonic() - started)
            stage.advance(events, loss=round(loss, 4), events_per_second=round(self.speed))
            if self.ranks.first and self.state.step % self.config.checkpoint_steps == 0:
                self.checkpoint.save(self.model, self.optimizer, self.state)

    def _prepared(self, batches: list[Rows]) -> Iterator[tuple[int, list[TensorBatch]]]:
        """The rest of the epoch's batches, made ready while the one before is trained on."""
        todo = batches[self.state.step :]
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            waiting: list[Future[tuple[int, list[TensorBatch]]]] = []
            for windows in todo:
                waiting.append(pool.submit(self._parts, windows))
                if len(waiting) > 2:
                    yield waiting.pop(0).result()
            for ready in waiting:
                yield ready.result()

    def _parts(self, windows: Rows) -> tuple[int, list[TensorBatch]]:
        """Events of a batch, and this process's share of it in `accumulate` parts (fewer where it has too few)."""
        mine = windows[self.ranks.share(len(windows))]
        parts = [mine[at :: self.config.accumulate] for at in range(self.config.accumulate)]
        made: list[Batch] = [self.sequences.batch(part) for part in parts if len(part)]
        return self.sequences.events_of(windows), [TensorBatch.of(batch, self.device) for batch in made]

    def _step(self, parts: list[TensorBatch], number: int, steps: int) -> float:
        """One step of the optimiser on all parts of a batch; their mean loss."""
        # Chance of a step's own: a run that goes on needs no more than the step's number.
        seeds = np.random.SeedSequence([self.seed, self.state.epoch, number, self.ranks.rank])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        rate = self.config.learning_rate * _schedule(self.state.epoch * steps + number, self.config.epochs * steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        asks = self.ranks.total(float(sum(len(part.asks) for part in parts)), self.device)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for at, part in enumerate(parts):
            total += self._backward(part, asks, last=at == len(parts) - 1)
        if not parts:  # The other processes wait for this one's gradients.
            self._backward(None, asks, last=True)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return float(total)

    def _backward(self, part: TensorBatch | None, asks: float, last: bool) -> Tensor:
        """Adds the gradients of a part's loss, weighed by its share of the `asks` questions of all processes."""
        waits = isinstance(self.shared, DistributedDataParallel) and not last
        with self.shared.no_sync() if waits else nullcontext(), self._precision():  # type: ignore[operator]
            share = len(part.asks) / asks if part is not None and asks else 0.0
            loss = self.shared(part) * share
            # Gradients of processes are averaged, and a sum is wanted.
            torch.autograd.backward(loss * self.ranks.world)
        detached: Tensor = loss.detach()
        return detached

    def _precision(self) -> Any:
        cuda = self.device.type == "cuda"
        return torch.autocast("cuda", dtype=torch.bfloat16) if cuda else nullcontext()

    def _judge(self, value: float) -> None:
        state = self.state
        if value > state.best:
            state.best, state.best_epoch, state.epochs_without_gain = value, state.epoch, 0
            state.best_weights = {name: tensor.cpu().clone() for name, tensor in self.model.state_dict().items()}
        else:
            state.epochs_without_gain += 1
        state.epoch, state.step = state.epoch + 1, 0

    def finished(self) -> tuple[InterestModel, InterestReport]:
        if self.state.best_weights:
            self.model.load_state_dict(self.state.best_weights)
        report = InterestReport(
            epochs=self.state.epoch,
            best_epoch=self.state.best_epoch + 1,
            best_ndcg=self.state.best,
            events_per_second=self.speed,
            flop_utilisation=self._utilisation(),
            padding=self.sequences.padding(self.batch_steps),
            parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            device=self.device.type,
            processes=self.ranks.world,
        )
        return self.model.cpu().eval(), report

    def _utilisation(self) -> float:
        sequences = self.sequences
        steps, asks = sequences.total_steps, sequences.total_asks
        flops = self.model.flops_per_step(steps / max(1, len(sequences)), self.loss.competing, asks / max(1, steps))
        speed = self.speed * steps / max(1, sequences.total_events)
        with self._precision():
            return speed * flops / (matrix_flops(self.device) * self.ranks.world)


def _distributed(loss: InterestLoss, device: torch.device) -> DistributedDataParallel:
    devices = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(loss, device_ids=devices, broadcast_buffers=False)


def _batch_steps(steps: int) -> int:
    least, most = BATCH_STEPS
    return min(max(steps // BATCHES_AN_EPOCH, least), most)


def _schedule(step: int, steps: int) -> float:
    """Warm-up to 1, then a half cosine to 0."""
    warm = max(1, int(steps * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
