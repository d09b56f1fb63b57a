"""The processes of one training: alone, or several that torchrun or a Kubernetes TrainJob started together."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed

from liverank.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP_TIMEOUT = timedelta(minutes=30)
"""Longest wait for the gradients of another process: they all make the same steps."""
WORD_TIMEOUT = timedelta(days=1)
"""Longest wait for a word of the first process, which embeds and validates alone. One that ends is noticed at once."""


@dataclass
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    world: int = 1
    local: int = 0
    """Rank on this machine: the number of its GPU."""
    _words: Any = field(default=None, repr=False, compare=False)
    """The group for words between processes: through the CPU, whatever carries the gradients."""

    @classmethod
    def from_environment(cls) -> Ranks:
        """What torchrun (or a TrainJob, which starts torchrun) says in RANK, WORLD_SIZE and LOCAL_RANK.

        Raises:
            ConfigError: they are not numbers.
        """
        names = {"rank": "RANK", "world": "WORLD_SIZE", "local": "LOCAL_RANK"}
        try:
            values = {field: int(os.environ[name]) for field, name in names.items() if os.environ.get(name)}
        except ValueError as problem:
            raise ConfigError(f"RANK, WORLD_SIZE or LOCAL_RANK is no number: {problem}.", "Unset them.") from problem
        return cls(**values)

    @property
    def first(self) -> bool:
        """Whether this process speaks for all: it validates, writes checkpoints and shows progress."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """The part of `count` things that are this process's: every `world`-th."""
        return slice(self.rank, count, self.world)

    def join(self, device: torch.device) -> None:
        """Connects the processes, once; nothing where there is only one."""
        if self.world == 1 or self._words is not None:
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=STEP_TIMEOUT)
        self._words = distributed.new_group(backend="gloo", timeout=WORD_TIMEOUT)

    def leave(self) -> None:
        """Ends the connection; all processes leave at the same point, the end of training."""
        if self._words is not None:
            self._words = None
            distributed.destroy_process_group()

    def total(self, value: float) -> float:
        """Sum of every process's value, in every process."""
        if self.world == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(tensor, group=self._words)
        return float(tensor)

    def told(self, value: float) -> float:
        """The first process's value, in every process."""
        if self.world == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64)
        distributed.broadcast(tensor, src=0, group=self._words)
        return float(tensor)

    def agree(self, what: str, value: str) -> None:
        """Waits for all processes and compares their values.

        Raises:
            TrainingError: they differ, in every process: going on they would wait for each other in vain.
        """
        if self.world == 1:
            return
        values: list[Any] = [None] * self.world
        distributed.all_gather_object(values, value, group=self._words)
        odd = [rank for rank, other in enumerate(values) if other != values[0]]
        if odd:
            raise TrainingError(
                f"Process {odd[0]} has another {what} than process 0 ({values[odd[0]]} and {values[0]}).",
                "All processes must see the same features, checkpoint folder and configuration.",
            )

    def copied(self, tensors: Sequence[Tensor]) -> None:
        """Overwrites tensors with those of the first process."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)
