"""Training of the interest model: one process or many, CPU or GPU, with checkpoints that survive kill -9."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from liverank import progress
from liverank.memory import peak_mib
from liverank.ranking.batch_feed import BatchFeed, Part
from liverank.ranking.checkpoint import Checkpoint, TrainingState
from liverank.ranking.divergence import check_converging, diverged
from liverank.ranking.interactions import Events, Floats, Rows
from liverank.ranking.interest_data import Sequences
from liverank.ranking.interest_loss import InterestLoss
from liverank.ranking.interest_model import InterestModel
from liverank.ranking.interest_report import InterestReport, Pace
from liverank.ranking.lazy_rows import LazyRows
from liverank.ranking.listwise import NotFiniteError
from liverank.ranking.ranks import Ranks
from liverank.ranking.schedule import batch_size, learning_rate
from liverank.ranking.speed import matrix_flops, peak_gpu_mib, pick_device, wait
from liverank.ranking.weight_average import WeightAverage

if TYPE_CHECKING:
    from liverank.config.training import InterestConfig, TrainingConfig
    from liverank.ranking.teachers import Teachers

BETAS = (0.9, 0.98)
"""AdamW's: a second moment of some fifty steps, for the rare gradients of rare items."""
MOST_GRADIENT = 1.0
"""Norm that gradients are clipped to."""
LAZY_ITEMS = 100_000
"""Items from which a step on a CPU only touches those it samples; a GPU is through with all of them sooner."""
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
) -> tuple[InterestModel, InterestReport]:
    """Trains from the checkpoint, where there is one, to the same weights as without interruption.

    `validate` judges the model after each epoch (higher is better); the best epoch's weights are returned. Without it
    all epochs run and the last weights are returned. `features` are the items' text features, `[items, width]`. Where
    several processes train together each calls this with the same data, and all return the same weights; a step's
    batch is shared out among them, only the first validates and writes; the caller makes them leave. `teachers` take
    their part of the loss. `initial` are parameters to begin with in place of random ones, by name.

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
        run = _Run(features, events, config, checkpoint, device, ranks, teachers, initial or {})
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
        initial: Mapping[str, Tensor],
    ) -> None:
        self.config: InterestConfig = config.interest
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
        self.loss = InterestLoss(self.model, events, self.sequences, features.to(device), self.config, taught)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            betas=BETAS,
            fused=True,
        )
        self.state = checkpoint.load(self.model, self.optimizer) or TrainingState()
        self.rows = self._lazy_rows()
        self.average = self._averaged()
        if ranks.world > 1:
            ranks.agree("training state", f"{_mark(events, config)} epoch {self.state.epoch} step {self.state.step}")
        self.shared = _distributed(self.loss, device) if ranks.world > 1 else self.loss
        if self.config.compile:
            for block in self.model.blocks:
                block.compile(dynamic=True)
        self.batch_steps = self.config.batch_steps or batch_size(self.sequences.total_steps)
        self.total_events = self.sequences.total_events * self.config.epochs
        self.feed = BatchFeed(self.sequences, ranks, self.config.accumulate, device)
        self.pace = Pace()

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

    def _settle(self) -> None:
        """Brings the learned item vectors up to date, the same in every process."""
        if self.rows:
            self.rows.settle_all()
            self.ranks.copied(self.rows.tensors)

    def to_the_end(self, validate: Validate | None, stage: progress.Stage) -> None:
        stage.done = self.total_events * self.state.epoch / self.config.epochs
        while not self._over():
            loss = self._epoch(stage)
            self._check(loss)
            with self.average.in_place() if self.average else nullcontext():
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
        self.pace, started, waited = Pace(), time.monotonic(), self.feed.waited
        losses: list[Tensor] = []
        self.model.train()
        for number, (windows, parts) in enumerate(self.feed(batches[self.state.step :]), start=self.state.step):
            losses.append(self._step(windows, parts, number, len(batches)))
            self.state.step = number + 1
            self.pace.events += (events := self.sequences.events_of(windows))
            self.pace.seconds = time.monotonic() - started
            # Numbers are asked of a GPU only when they are shown: the question makes it wait.
            stage.advance(events, loss=partial(_rounded, losses[-1] * self.ranks.world), events_per_second=self._speed)
            if self.state.step % self.config.checkpoint_steps == 0:
                self._save()
        self._settle()
        wait(self.device)
        self.pace.seconds, self.pace.waited = time.monotonic() - started, self.feed.waited - waited
        return self.ranks.total(float(torch.stack(losses).mean())) if losses else 0.0

    def _check(self, *losses: float) -> None:
        """Raises a TrainingError where training diverged: in all processes, since they have the same weights."""
        averaged = self.average.tensors.values() if self.average else ()
        check_converging(*self._named_rate, losses, [*self.model.parameters(), *averaged])

    @property
    def _named_rate(self) -> tuple[str, str, float]:
        return "interest model", "training.interest.learning_rate", self.config.learning_rate

    def _save(self) -> None:
        self._settle()
        self._check()
        if self.ranks.first:
            self.checkpoint.save(self.model, self.optimizer, self.state)

    def _speed(self) -> int:
        return round(self.pace.events_per_second)

    def _step(self, windows: Rows, parts: list[Part], number: int, steps: int) -> Tensor:
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
        waits = isinstance(self.shared, DistributedDataParallel) and not last
        share = len(part.batch.asks) / asks if part is not None and asks else 0.0
        with self.shared.no_sync() if waits else nullcontext():  # type: ignore[operator]
            with self._precision():
                loss = self.shared(part.batch if part else None) * share
            # Gradients of processes are averaged, and a sum is wanted.
            torch.autograd.backward(loss * self.ranks.world)
        if part is not None:
            self.pace.flops += self.model.flops(part.steps, part.attended, len(part.batch.asks), self.loss.items)
        detached: Tensor = loss.detach()
        return detached

    def _precision(self) -> Any:
        cuda = self.device.type == "cuda"
        return torch.autocast("cuda", dtype=torch.bfloat16) if cuda else nullcontext()

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
        with self._precision():
            return self.pace.flops / self.pace.seconds / matrix_flops(self.device)


def _distributed(loss: InterestLoss, device: torch.device) -> DistributedDataParallel:
    devices = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(loss, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True)


def _mark(events: Events, config: TrainingConfig) -> str:
    """What processes that train together must have in common, as a short hash."""
    found = hashlib.sha256(repr((config.interest, config.seed)).encode())
    for column in (events.user, events.item, events.type, events.weight, events.timestamp):
        found.update(np.ascontiguousarray(column).data)
    return found.hexdigest()[:16]


def _rounded(value: Tensor) -> float:
    return round(float(value), 4)
