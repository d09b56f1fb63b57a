"""When what happens: everything scales with the length of the soak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from liverank.config.serving import ServingConfig

SHARE: Final = 0.7
EVENTS: Final = ServingConfig().history_length
"""As many as a ranking reads, so that histories do not get longer while memory is looked at."""
LEAST_SECONDS: Final = 30.0
SWAPS: Final = 15
"""In a soak, so that half an hour has one every two minutes."""
LEAST_SWAP_SECONDS: Final = 15.0
"""A swap itself takes some."""


@dataclass(frozen=True)
class Plan:
    """A soak of so many seconds. Servers and Redis fall in the first half; the last third has swaps alone."""

    seconds: float
    share: float = SHARE
    """Of the measured capacity that is asked for; the rest is what restarts and swaps have on busy cores."""
    events: int = EVENTS
    """Of each user before the soak."""

    @property
    def capacity_seconds(self) -> float:
        """Of requests as fast as they are answered, before the soak."""
        return min(20.0, max(4.0, self.seconds / 60))

    @property
    def sample_seconds(self) -> float:
        """Between two looks at the memory."""
        return min(3.0, max(0.25, self.seconds / 600))

    @property
    def redis_restarts(self) -> tuple[float, float]:
        """When Redis is told to end, and when it is killed."""
        return 0.23 * self.seconds, 0.43 * self.seconds

    @property
    def kill(self) -> float:
        """When a server is killed."""
        return 0.3 * self.seconds

    @property
    def swap_seconds(self) -> float:
        """Between two swaps of the model."""
        return max(LEAST_SWAP_SECONDS, self.seconds / SWAPS)

    def swaps(self) -> Iterator[float]:
        """When the model is swapped, as long as a swap would end within the soak."""
        at = self.swap_seconds
        while at <= self.seconds - LEAST_SWAP_SECONDS / 2:
            yield at
            at += self.swap_seconds
