"""Training of the interest model: one process or many, CPU or GPU, with checkpoints that survive kill -9."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from liverank import progress
from liverank.memory import peak_mib
from liverank.ranking.batch_feed import BatchFeed
from liverank.ranking.checkpoint import Checkpoint, TrainingState
from liverank.ranking.divergence import check_converging, diverged
from liverank.ranking.interactions import Events, Floats
from liverank.ranking.interest_data import Sequences
from liverank.ranking.interest_loss import InterestLoss
from liverank.ranking.interest_model import InterestModel
from liverank.ranking.interest_report import InterestReport, Pace
from liverank.ranking.interest_steps import InterestSteps, optimizer_of, precision_on
from liverank.ranking.listwise import NotFiniteError
from liverank.ranking.ranks import Ranks
from liverank.ranking.schedule import batch_size
from liverank.ranking.speed import matrix_flops, peak_gpu_mib, pick_device, wait

if TYPE_CHECKING:
    from liverank.config.training import InterestConfig, TrainingConfig
    from liverank.ranking.teachers import Teachers

Validate = Callable[[InterestModel], float]


def train(
    features: Floats,
    events: Events,
    config: TrainingConfig,
    validate: Validate | None,
    checkpoint: Checkpoint,
    ranks: Ranks | None = None,
    teachers: Teachers | None = None,
    initial: Mapping[str, Tensor] | None = None,
    rate_key: str = "training.interest.learning_rate",
) -> tuple[InterestModel, InterestReport]:
    """Trains from the checkpoint, where there is one, to the same weights as without interruption.

    `validate` judges the model after each epoch (higher is better); the best epoch's weights are returned. Without it
    all epochs run and the last weights are returned. `features` are the items' text features, `[items, width]`. Where
    several processes train together each calls this with the same data, and all return the same weights; a step's
    batch is shared out among them, only the first validates and writes; the caller makes them leave. `teachers` take
    their part of the loss. `initial` are parameters to begin with in place of random ones, by name. `rate_key` is the
    setting that an error names where training diverges.

    Raises:
        ConfigError: the device is not there.
        BundleError: the checkpoint cannot be used.
        TrainingError: training diverged, or the processes have different data or checkpoints.
    """
    ranks = ranks or Ranks.from_environment()
    device = pick_device(config.device, ranks.local)
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        ranks.join(device)
        run = _Run(features, events, config, checkpoint, device, ranks, teachers, initial or {}, rate_key)
        with progress.stage("train interest model", run.total_events) as stage:
            run.to_the_end(validate, stage)
        return run.finished()
    finally:
        torch.set_num_threads(before)


class _Run:
    """One training run, from where its checkpoint stands to its end."""

    def __init__(
        self,
        item_features: Floats,
        events: Events,
        config: TrainingConfig,
        checkpoint: Checkpoint,
        device: torch.device,
        ranks: Ranks,
        teachers: Teachers | None,
        initial: Mapping[str, Tensor],
        rate_key: str,
    ) -> None:
        self.config: InterestConfig = config.interest
        self.rate_key = rate_key
        self.seed, self.device, self.ranks, self.checkpoint = config.seed, device, ranks, checkpoint
        torch.manual_seed(self.seed)
        features = torch.from_numpy(item_features)
        met = torch.from_numpy(np.bincount(events.item, minlength=len(features)))
        self.model = InterestModel(met, len(events.types), features.shape[1], self.config)
        self.model.standardise(features)
        self.model.load_state_dict({**self.model.state_dict(), **initial})
        self.model.to(device)
        self.sequences = Sequences(events, self.config.history_length)
        taught = teachers and teachers.to(device)
        loss = InterestLoss(self.model, events, self.sequences, features.to(device), self.config, taught)
        self.optimizer = optimizer_of(self.model, self.config)
        self.state = checkpoint.load(self.model, self.optimizer) or TrainingState()
        ranks.agree("training state", f"{_mark(events, config)} epoch {self.state.epoch} step {self.state.step}")
        seed, state = config.seed, self.state
        self.step = InterestSteps(loss, self.sequences, self.optimizer, state, self.config, seed, device, ranks)
        if self.config.compile:
            for block in self.model.blocks:
                block.compile(dynamic=True)
        self.batch_steps = self.config.batch_steps or batch_size(self.sequences.total_steps)
        self.total_events = self.sequences.total_events * self.config.epochs
        self.feed = BatchFeed(self.sequences, ranks, self.config.accumulate, device)
        self.pace = Pace()

    def to_the_end(self, validate: Validate | None, stage: progress.Stage) -> None:
        stage.done = self.total_events * self.state.epoch / self.config.epochs
        while not self._over():
            loss = self._epoch(stage)
            self._check(loss)
            with self.step.average.in_place() if self.step.average else nullcontext():
                value = self._value(validate)
                self._judge(self.ranks.told(value), loss, validated=validate is not None)
            self._save()
            if self.ranks.first:
                self._tell(f", validation NDCG@10 {value:.4f}" if validate else "")

    def _value(self, validate: Validate | None) -> float:
        """What the model as it stands is worth; without validation the later the better."""
        if not validate or not self.ranks.first:
            return float(self.state.epoch + 1)
        try:
            return validate(self.model)
        except NotFiniteError as problem:
            # Weights that are finite can still be so large that scores are not.
            raise diverged(*self._named_rate) from problem

    def _over(self) -> bool:
        state = self.state
        return state.epoch >= self.config.epochs or state.epochs_without_gain >= self.config.patience

    def _epoch(self, stage: progress.Stage) -> float:
        """Makes the rest of an epoch's steps; their mean loss, in all processes."""
        rng = np.random.default_rng([self.seed, self.state.epoch])
        batches = self.sequences.batches(self.batch_steps, rng)
        self.pace, started, waited, operations = Pace(), time.monotonic(), self.feed.waited, self.step.flops
        losses: list[Tensor] = []
        self.model.train()
        for number, (windows, parts) in enumerate(self.feed(batches[self.state.step :]), start=self.state.step):
            losses.append(self.step(windows, parts, number, len(batches)))
            self.state.step = number + 1
            self.pace.events += (events := self.sequences.events_of(windows))
            self.pace.seconds = time.monotonic() - started
            # Numbers are asked of a GPU only when they are shown: the question makes it wait.
            stage.advance(events, loss=partial(_rounded, losses[-1] * self.ranks.world), events_per_second=self._speed)
            if self.state.step % self.config.checkpoint_steps == 0:
                self._save()
        self.step.settle()
        wait(self.device)
        self.pace.seconds, self.pace.waited = time.monotonic() - started, self.feed.waited - waited
        self.pace.flops = self.step.flops - operations
        return self.ranks.total(float(torch.stack(losses).mean())) if losses else 0.0

    def _check(self, *losses: float) -> None:
        """Raises a TrainingError where training diverged: in all processes, since they have the same weights."""
        averaged = self.step.average.tensors.values() if self.step.average else ()
        check_converging(*self._named_rate, losses, [*self.model.parameters(), *averaged])

    @property
    def _named_rate(self) -> tuple[str, str, float]:
        return "interest model", self.rate_key, self.config.learning_rate

    def _save(self) -> None:
        self.step.settle()
        self._check()
        if self.ranks.first:
            self.checkpoint.save(self.model, self.optimizer, self.state)

    def _speed(self) -> int:
        return round(self.pace.events_per_second)

    def _judge(self, value: float, loss: float, validated: bool) -> None:
        state = self.state
        state.losses.append(loss)
        if validated:
            state.ndcgs.append(value)
        if value > state.best:
            state.best, state.best_epoch, state.epochs_without_gain = value, state.epoch, 0
            state.best_weights = {name: tensor.cpu().clone() for name, tensor in self.model.state_dict().items()}
        else:
            state.epochs_without_gain += 1
        state.epoch, state.step = state.epoch + 1, 0

    def _tell(self, judged: str) -> None:
        progress.note(f"epoch {self.state.epoch}: loss {self.state.losses[-1]:.4f}{judged}, {self._speed():,} events/s")

    def finished(self) -> tuple[InterestModel, InterestReport]:
        if self.state.best_weights:
            self.model.load_state_dict(self.state.best_weights)
        report = InterestReport(
            epochs=self.state.epoch,
            best_epoch=self.state.best_epoch + 1,
            best_ndcg=self.state.best,
            losses=self.state.losses,
            ndcgs=self.state.ndcgs,
            events_per_second=self.pace.events_per_second,
            flop_utilisation=self._utilisation(),
            waiting=self.pace.waiting,
            padding=self.sequences.padding(self.batch_steps),
            peak_mib=peak_mib(),
            peak_gpu_mib=peak_gpu_mib(self.device),
            parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            device=self.device.type,
            processes=self.ranks.world,
        )
        progress.note(report.told())
        return self.model.cpu().eval(), report

    def _utilisation(self) -> float:
        if not self.pace.seconds:
            return 0.0
        with precision_on(self.device):
            return self.pace.flops / self.pace.seconds / matrix_flops(self.device)


def _mark(events: Events, config: TrainingConfig) -> str:
    """What processes that train together must have in common, as a short hash."""
    found = hashlib.sha256(repr((config.interest, config.seed)).encode())
    for column in (events.user, events.item, events.type, events.weight, events.timestamp):
        found.update(np.ascontiguousarray(column).data)
    return found.hexdigest()[:16]


def _rounded(value: Tensor) -> float:
    return round(float(value), 4)
