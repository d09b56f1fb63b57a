"""A process's share of each batch, made ready while the batches before are trained on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from liverank.ranking.interactions import Rows
from liverank.ranking.interest_data import Sequences
from liverank.ranking.interest_loss import TensorBatch
from liverank.ranking.ranks import Ranks

READY = 2
"""Batches made ready ahead."""


@dataclass(frozen=True)
class Part:
    """What a process does at once of a batch."""

    batch: TensorBatch
    steps: int
    attended: int
    """Sum of the squared lengths of its windows."""


class BatchFeed:
    """Makes batches on a thread of its own and copies them to the device."""

    def __init__(self, sequences: Sequences, ranks: Ranks, accumulate: int, device: torch.device) -> None:
        self.sequences = sequences
        self.ranks = ranks
        self.accumulate = accumulate
        self.device = device
        self.waited = 0.0
        """Seconds that training waited for batches, in all."""

    def __call__(self, batches: list[Rows]) -> Iterator[tuple[Rows, list[Part]]]:
        """The windows of each batch, and this process's share of them in parts."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            waiting: list[tuple[Rows, Future[list[Part]]]] = []
            for windows in batches:
                waiting.append((windows, pool.submit(self.parts, windows)))
                if len(waiting) > READY:
                    yield self._ready(*waiting.pop(0))
            for one in waiting:
                yield self._ready(*one)

    def _ready(self, windows: Rows, parts: Future[list[Part]]) -> tuple[Rows, list[Part]]:
        started = time.monotonic()
        found = parts.result()
        self.waited += time.monotonic() - started
        return windows, found

    def parts(self, windows: Rows) -> list[Part]:
        """This process's share of a batch in `accumulate` parts; fewer, or none, where it has too few windows."""
        mine = windows[self.ranks.share(len(windows))]
        parts = [mine[at :: self.accumulate] for at in range(self.accumulate)]
        return [self._part(part) for part in parts if len(part)]

    def _part(self, windows: Rows) -> Part:
        batch = self.sequences.batch(windows)
        lengths = (batch.at >= 0).sum(axis=1)
        return Part(TensorBatch.of(batch, self.device), int(lengths.sum()), int((lengths**2).sum()))
