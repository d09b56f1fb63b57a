"""The processes of one training: alone, or several that torchrun or a Kubernetes TrainJob started together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from liverank.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    world: int = 1
    local: int = 0
    """Rank on this machine: the number of its GPU."""

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

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Connects the processes for as long as it is open; nothing where there is only one."""
        if self.world == 1 or distributed.is_initialized():
            yield
            return
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        try:
            yield
        finally:
            distributed.destroy_process_group()

    def total(self, value: float, device: torch.device) -> float:
        """Sum of every process's value."""
        if self.world == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(tensor)
        return float(tensor)

    def told(self, value: float, device: torch.device) -> float:
        """The first process's value, in every process."""
        if self.world == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.broadcast(tensor, src=0)
        return float(tensor)
