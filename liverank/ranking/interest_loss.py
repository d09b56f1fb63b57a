"""What the interest model is trained on: batches of events, and the softmax over the items that come next."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from liverank.ranking.interactions import Events, Floats
from liverank.ranking.interest_data import Batch, Sequences
from liverank.ranking.interest_model import Asked, InterestModel, Window, again_bucket, gap_bucket
from liverank.ranking.soft_targets import soft_target_loss
from liverank.ranking.softmax_loss import softmax_loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from liverank.config.training import InterestConfig
    from liverank.ranking.teachers import Teachers

DAY = 86400
HOUR = 3600
THURSDAY = 3
"""Weekday of 1970-01-01."""


@dataclass(frozen=True)
class TensorBatch:
    """A `Batch` as tensors on the device."""

    at: Tensor
    events: Tensor
    places: Tensor
    asks: Tensor
    asked: Tensor
    pairs: Tensor
    targets: Tensor
    weights: Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> TensorBatch:
        """Copies a batch to the device, without waiting for the copy where that is a GPU."""
        arrays = [getattr(batch, field.name) for field in fields(cls)]
        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
        if device.type == "cuda":
            tensors = [tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors]
        return cls(*tensors)


class InterestLoss(nn.Module):
    """The model with everything its loss reads; calling it gives the mean loss over a batch's questions."""

    def __init__(
        self,
        model: InterestModel,
        events: Events,
        sequences: Sequences,
        features: Tensor,
        config: InterestConfig,
        teachers: Teachers | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        device = features.device
        self._features = features
        # No module: what teaches is not trained.
        self._teachers = teachers
        self._tables = _Tables.of(events, sequences, device)
        known = np.unique(events.item).astype(np.int64)
        # An item without an event is no evidence against its text: only items with events are weighed.
        self._known = torch.from_numpy(known).to(device)
        self._sampler = Sampler(events, config.negatives, device) if len(known) > config.full_softmax_items else None

        self.items = 0
        """Items in the softmax of the last call."""
        self.before_reading: Callable[[Tensor], None] | None = None
        """Called with the rows of items whose learned vectors are read next."""

    @property
    def sampled(self) -> bool:
        """Whether the softmax is over sampled items."""
        return self._sampler is not None

    def forward(self, batch: TensorBatch | None) -> Tensor:
        """Cross-entropy of the softmax over all (or sampled) items, label-smoothed, mean over the questions.

        Nothing asked is a loss of 0 that every parameter has a gradient of, for processes that train together.
        """
        if batch is None or not len(batch.targets):
            return self._nothing()
        tables, model = self._tables, self.model
        items = tables.item[batch.events]
        rows = self._sampler.rows(batch.targets, items) if self._sampler else self._known
        self.items = len(rows)
        if self.before_reading:
            self.before_reading(rows)
        vectors = model.text_vectors(self._features[rows]) + model.id_vectors(rows)
        read = vectors[torch.searchsorted(rows, items)]
        window, asked = self._window(batch), tables.asked(batch.asked)
        queries = model.ask(model.encode(read, window).flatten(0, 1)[batch.asks], asked)
        chance = self._sampler.log_chance(rows, len(batch.targets)) if self._sampler else None
        targets = torch.searchsorted(rows, batch.targets)
        smoothing = self.config.label_smoothing
        loss = softmax_loss(queries, vectors, batch.pairs, targets, batch.weights, smoothing, chance)
        if self._teachers is None:
            return loss
        taught = self._teachers.say(rows, items, window, batch.asks, asked)
        soft = soft_target_loss(queries, vectors, *taught, self.config.distil.temperature, chance)
        return torch.lerp(loss, soft, self.config.distil.weight)

    def _nothing(self) -> Tensor:
        self.items = 0
        # Of the learned item vectors one row is enough, and it keeps their gradient sparse where that is sparse.
        others = [parameter.sum() for parameter in self.model.parameters() if parameter is not self.model.ids.weight]
        return torch.stack([*others, self.model.ids(self._known[:1]).sum()]).sum() * 0.0

    def _window(self, batch: TensorBatch) -> Window:
        tables, safe = self._tables, batch.at.clamp(min=0)
        seconds = (tables.time[safe] - tables.time[safe[:, :1]]).float()
        types, again = tables.type[batch.events], tables.again[batch.events]
        return Window(tables.gap_before[safe], seconds, batch.places, types, again)


@dataclass(frozen=True)
class _Tables:
    """Columns of the events, and of their steps, on the device."""

    item: Tensor
    type: Tensor
    again: Tensor
    time: Tensor
    """Of each step; so are the rest."""
    gap_before: Tensor
    gap_after: Tensor
    hour_after: Tensor
    weekday_after: Tensor

    @classmethod
    def of(cls, events: Events, sequences: Sequences, device: torch.device) -> _Tables:
        first = sequences.begins[:-1]
        seconds = events.timestamp[first]
        gaps = np.diff(seconds, prepend=seconds[:1]) * (np.diff(events.user[first], prepend=-1) == 0)
        buckets, time = gap_bucket(torch.from_numpy(gaps)), torch.from_numpy(seconds)
        after = torch.roll(time, -1)
        tensors = (
            torch.from_numpy(events.item.astype(np.int64)),
            torch.from_numpy(events.type.astype(np.int64)),
            again_bucket(torch.from_numpy(times_before(events))),
            time,
            buckets,
            torch.roll(buckets, -1),
            hour_of(after),
            weekday_of(after),
        )
        return cls(*(tensor.to(device) for tensor in tensors))

    def asked(self, at: Tensor) -> Asked:
        """When the step after these was."""
        return Asked(self.gap_after[at], self.hour_after[at], self.weekday_after[at])


def hour_of(seconds: Tensor) -> Tensor:
    """Hour of the day (UTC) of times in seconds since 1970."""
    return (seconds.remainder(DAY) / HOUR).long().clamp(0, 23)


def weekday_of(seconds: Tensor) -> Tensor:
    """Day of the week (UTC), Monday 0, of times in seconds since 1970."""
    return (torch.floor(seconds / DAY).long() + THURSDAY).remainder(7)


def times_before(events: Events) -> Floats:
    """How often the user of each event had its item before, in earlier steps or further up in the same, `[events]`."""
    keys = events.user.astype(np.int64) * (int(events.item.max(initial=0)) + 1) + events.item
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(keys)))
    times = np.zeros(len(keys), np.float32)
    times[order] = np.arange(len(keys)) - np.repeat(starts, sizes)
    return times


class Sampler:
    """Items of a sampled softmax: the batch's own and uniformly drawn ones, with the logQ correction."""

    def __init__(self, events: Events, negatives: int, device: torch.device) -> None:
        counts = np.bincount(events.item, events.weight > 0)
        self._known = torch.from_numpy(np.flatnonzero(np.bincount(events.item))).to(device)
        self._share = torch.from_numpy(counts / max(1.0, counts.sum())).float().to(device)
        self._negatives = negatives

    def rows(self, targets: Tensor, items: Tensor) -> Tensor:
        """Distinct item rows in ascending order, the targets and the items of the windows among them."""
        drawn = torch.randint(len(self._known), (self._negatives,), device=targets.device)
        return torch.unique(torch.cat([targets, items.flatten(), self._known[drawn]]), sorted=True)

    def log_chance(self, rows: Tensor, targets: int) -> Tensor:
        """log of the chance that a row is among the sampled ones (an approximation: windows look like targets)."""
        missed = (1 - self._share[rows]).pow(targets) * (1 - 1 / len(self._known)) ** self._negatives
        return torch.log1p(-missed.clamp(max=1 - 1e-9))
