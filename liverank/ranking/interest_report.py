"""What a training run took and reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InterestReport:
    """How training went; times are in seconds and cover this run only."""

    epochs: int
    best_epoch: int
    best_ndcg: float
    losses: list[float]
    """Mean loss of each epoch."""
    ndcgs: list[float]
    """Validation NDCG@10 of each epoch; empty where nothing was validated."""
    events_per_second: float
    """Of all processes together, in the last epoch."""
    flop_utilisation: float
    """Operations of the model a second, as a share of what a large matrix product reaches on the same device."""
    waiting: float
    """Share of the last epoch in which training waited for its next batch."""
    padding: float
    """Share of places of the batches that hold no step."""
    peak_mib: float
    """Peak resident memory of the first process."""
    peak_gpu_mib: float
    """Peak memory of its GPU; 0 on a CPU."""
    parameters: int
    device: str
    processes: int

    def told(self) -> str:
        """The report on one line."""
        memory = f"{self.peak_mib:,.0f} MiB" + (f", GPU {self.peak_gpu_mib:,.0f} MiB" if self.peak_gpu_mib else "")
        many = f" on {self.processes} processes" if self.processes > 1 else ""
        return (
            f"interest model: {self.epochs} epochs, best {self.best_epoch}; {self.events_per_second:,.0f} events/s"
            f"{many}, {self.flop_utilisation:.0%} of the {self.device}'s matrix speed; peak memory {memory}"
        )


@dataclass
class Pace:
    """What an epoch took, on the clock and of the device."""

    seconds: float = 0.0
    waited: float = 0.0
    """Seconds spent waiting for batches."""
    events: int = 0
    """Of all processes."""
    flops: float = 0.0
    """Of this process."""

    @property
    def events_per_second(self) -> float:
        """Events of all processes a second; 0 before the first."""
        return self.events / self.seconds if self.seconds else 0.0

    @property
    def waiting(self) -> float:
        """Share of the time spent waiting for batches."""
        return self.waited / self.seconds if self.seconds else 0.0
