"""Training of the interest model: full softmax over the next step's items, checkpoints that survive kill -9."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from liverank import progress
from liverank.config.training import InterestConfig, TrainingConfig
from liverank.errors import ConfigError
from liverank.ranking.checkpoint import Checkpoint, TrainingState
from liverank.ranking.data import Catalogue, Events
from liverank.ranking.interest_data import Batch, Sequences
from liverank.ranking.interest_model import PADDING_STEP, InterestModel, gap_bucket

WARM_UP = 0.05
"""Share of all steps in which the learning rate rises to its peak."""
FULL_SOFTMAX_ITEMS = 50_000
SAMPLED_ITEMS = 8192


@dataclass(frozen=True)
class InterestReport:
    """How training went; times are in seconds and cover this run only."""

    epochs: int
    best_epoch: int
    best_ndcg: float
    events_per_second: float
    device: str


def pick_device(wanted: str) -> torch.device:
    """The device to train on; `auto` is a GPU when there is one.

    Raises:
        ConfigError: a GPU is wanted and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ConfigError("training.device is cuda, but torch finds no GPU.", "Set it to auto or cpu.")
    return torch.device("cuda" if wanted == "cuda" or (wanted == "auto" and available) else "cpu")


def train(
    catalogue: Catalogue,
    events: Events,
    config: TrainingConfig,
    validate: Callable[[InterestModel], float] | None,
    checkpoint: Checkpoint,
) -> tuple[InterestModel, InterestReport]:
    """Trains from the checkpoint, where there is one, to the same weights as without interruption.

    `validate` judges the model after each epoch (higher is better); the best epoch's weights are returned. Without it
    all epochs run and the last weights are returned.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        run = _Run(catalogue, events, config, checkpoint)
        with progress.stage("train interest model", run.total_events) as stage:
            run.to_the_end(validate, stage)
        return run.finished()
    finally:
        torch.set_num_threads(before)


class _Run:
    """One training run: everything that a step reads and writes."""

    def __init__(self, catalogue: Catalogue, events: Events, config: TrainingConfig, checkpoint: Checkpoint) -> None:
        assert catalogue.embeddings is not None
        self.config: InterestConfig = config.interest
        self.seed = config.seed
        self.checkpoint = checkpoint
        self.device = pick_device(config.device)
        torch.manual_seed(self.seed)
        self.embeddings = torch.from_numpy(catalogue.embeddings).to(self.device)
        width = catalogue.embeddings.shape[1]
        self.model = InterestModel(len(catalogue), len(events.types), width, self.config)
        self.model.standardise(torch.from_numpy(catalogue.embeddings))
        self.model.to(self.device)
        self.sequences = Sequences(events, self.config.history_length)
        self.tables = _Tables.of(events, self.sequences, self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        self.steps_per_epoch = -(-len(self.sequences) // self.config.batch_size)
        self.total_events = self.sequences.total_events * self.config.epochs
        # An item without an event is no evidence against its text: only items with events are weighed.
        self.known = torch.from_numpy(np.unique(events.item).astype(np.int64)).to(self.device)
        self.sampler = _Sampler(events, len(catalogue), self.device) if len(catalogue) > FULL_SOFTMAX_ITEMS else None
        self.state = checkpoint.load(self.model, self.optimizer) or TrainingState()
        self.speed = 0.0

    def to_the_end(self, validate: Callable[[InterestModel], float] | None, stage: progress.Stage) -> None:
        stage.done = self.total_events * self.state.epoch / self.config.epochs
        while not self._over():
            self._epoch(stage)
            value = validate(self.model) if validate else float(self.state.epoch + 1)
            self._judge(value)
            self.checkpoint.save(self.model, self.optimizer, self.state)
            if validate:
                progress.note(f"epoch {self.state.epoch}: validation NDCG@10 {value:.4f}")

    def _over(self) -> bool:
        state = self.state
        return state.epoch >= self.config.epochs or state.epochs_without_gain >= self.config.patience

    def _epoch(self, stage: progress.Stage) -> None:
        rng = np.random.default_rng([self.seed, self.state.epoch])
        batches = self.sequences.batches(self.config.batch_size, rng)
        started, seen = time.monotonic(), 0
        self.model.train()
        for number, windows in enumerate(batches):
            if number < self.state.step:
                continue
            batch = self.sequences.batch(windows)
            loss = self._step(batch, number, len(batches))
            self.state.step = number + 1
            seen += int((batch.at >= 0).sum())
            self.speed = seen / (time.monotonic() - started)
            stage.advance(int((batch.at >= 0).sum()), loss=round(loss, 4), events_per_second=round(self.speed))
            if self.state.step % self.config.checkpoint_steps == 0:
                self.checkpoint.save(self.model, self.optimizer, self.state)

    def _step(self, batch: Batch, number: int, steps: int) -> float:
        if not len(batch.targets):
            return 0.0
        rate = self.config.learning_rate * _schedule(self.state.epoch * steps + number, self.config.epochs * steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self._precision():
            loss = self._loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def _precision(self) -> Any:
        cuda = self.device.type == "cuda"
        return torch.autocast("cuda", dtype=torch.bfloat16) if cuda else nullcontext()

    def _loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the softmax over all (or sampled) items, label-smoothed, mean over the questions."""
        at = torch.from_numpy(batch.at).to(self.device)
        asks, pairs, targets = (
            torch.from_numpy(part).to(self.device) for part in (batch.asks, batch.pairs, batch.targets)
        )
        weights = torch.from_numpy(batch.weights).to(self.device)
        rows = self.sampler.rows(targets, self.tables.item[at.clamp(min=0)]) if self.sampler else self.known
        text = self.model.text_vectors(self.embeddings[rows])
        states = self.model.encode(*self._inputs(at, rows, text)).flatten(0, 1)[asks]
        queries = self.model.ask(states, self.tables.gap_after[torch.from_numpy(batch.asked).to(self.device)])
        logits = (queries @ (text + self._ids(rows)).T).float()
        if self.sampler:
            logits = logits - self.sampler.log_chance(rows, len(targets))
        targets = torch.searchsorted(rows, targets)
        log_probability = functional.log_softmax(logits, dim=-1)
        hit = -(weights * log_probability[pairs, targets]).sum() / len(asks)
        smooth = -log_probability.mean()
        return (1 - self.config.label_smoothing) * hit + self.config.label_smoothing * smooth

    def _inputs(self, at: Tensor, rows: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        inside = at >= 0
        safe = at.clamp(min=0)
        items = self.tables.item[safe]
        vectors = text[torch.searchsorted(rows, items)] + self._ids(items)
        steps = torch.where(inside, self.tables.step[safe], PADDING_STEP)
        return vectors, self.tables.type[safe], self.tables.gap_before[safe], steps

    def _ids(self, rows: Tensor) -> Tensor:
        """Learned id embeddings, some dropped, so that items are also known by their text alone, `[..., width]`."""
        keep = torch.rand(rows.shape, device=self.device) >= self.config.id_dropout
        return self.model.ids(rows) * keep.unsqueeze(-1)

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
            self.state.epoch, self.state.best_epoch + 1, self.state.best, self.speed, self.device.type
        )
        return self.model.cpu().eval(), report


@dataclass(frozen=True)
class _Tables:
    """Columns of the events on the device."""

    item: Tensor
    type: Tensor
    step: Tensor
    gap_before: Tensor
    gap_after: Tensor

    @classmethod
    def of(cls, events: Events, sequences: Sequences, device: torch.device) -> _Tables:
        gaps = np.diff(events.timestamp, prepend=events.timestamp[:1]) * (np.diff(events.user, prepend=-1) == 0)
        buckets = gap_bucket(torch.from_numpy(gaps))
        # A question stands at a step's last event, so the gap after it is that to the next step.
        after = torch.cat([buckets[1:], torch.zeros(1, dtype=torch.long)])
        columns = (events.item.astype(np.int64), events.type.astype(np.int64), sequences.steps)
        tensors = (*(torch.from_numpy(column) for column in columns), buckets, after)
        return cls(*(tensor.to(device) for tensor in tensors))


class _Sampler:
    """Items of a sampled softmax: the batch's targets and uniform ones, with the logQ correction."""

    def __init__(self, events: Events, items: int, device: torch.device) -> None:
        counts = np.bincount(events.item, np.maximum(events.weight, 0) > 0, items)
        self.known = torch.from_numpy(np.flatnonzero(counts)).to(device)
        self.share = torch.from_numpy(counts / max(1.0, counts.sum())).float().to(device)
        self.device = device

    def rows(self, targets: Tensor, items: Tensor) -> Tensor:
        """Distinct item rows in ascending order, the targets and the items of the windows among them."""
        drawn = torch.randint(len(self.known), (SAMPLED_ITEMS,), device=self.device)
        return torch.unique(torch.cat([targets, items.flatten(), self.known[drawn]]), sorted=True)

    def log_chance(self, rows: Tensor, targets: int) -> Tensor:
        """log of the chance that a row is among the sampled ones (an approximation: windows look like targets)."""
        missed = (1 - self.share[rows]).pow(targets) * (1 - 1 / len(self.known)) ** SAMPLED_ITEMS
        return torch.log1p(-missed.clamp(max=1 - 1e-9))


def _schedule(step: int, steps: int) -> float:
    """Warm-up to 1, then a half cosine to 0."""
    warm = max(1, int(steps * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
