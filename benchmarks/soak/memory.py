"""Whether a process grows: the slope of its resident memory, with an interval that knows of autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

BLOCKS: Final = 10
SEEN_MIB_AN_HOUR: Final = 60.0
"""The growth that a soak has to tell from none: 1.4 GiB a day, which fills a container of 2 GiB overnight. Where chance
alone reaches further, memory that does not grow says nothing."""
CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Slope:
    """MiB an hour by which memory grows, and the interval of 95 % around it."""

    estimate: float
    low: float
    high: float

    @property
    def grows(self) -> bool:
        """Whether it is above zero by more than chance."""
        return self.low > 0

    @property
    def tells(self) -> bool:
        """Whether a growth of `SEEN_MIB_AN_HOUR` would stand out from chance."""
        return (self.high - self.low) / 2 <= SEEN_MIB_AN_HOUR


def slope(seconds: Sequence[float], mib: Sequence[float], blocks: int = BLOCKS) -> Slope | None:
    """The least-squares slope of block means; None for fewer samples than two a block.

    Samples of a process that takes and gives back memory now and then are far from independent, and an interval as if
    they were would be too narrow. Means of blocks that are long beside the time for which memory remembers are nearly
    so: their regression on the blocks' mean times has Student's t with blocks - 2 degrees of freedom (batch means, as
    in Law, "Simulation Modeling and Analysis", chapter 9).

    Args:
        seconds: `[samples]`, when each was taken, rising.
        mib: `[samples]`, memory then.
        blocks: of equal numbers of samples, at least 3.
    """
    if len(seconds) < 2 * blocks:
        return None
    hours = np.array([part.mean() for part in np.array_split(np.asarray(seconds) / 3600, blocks)])
    means = np.array([part.mean() for part in np.array_split(np.asarray(mib, dtype=float), blocks)])
    away = hours - hours.mean()
    estimate = float(away @ means / (away @ away))
    left = means - means.mean() - estimate * away
    error = float(np.sqrt(left @ left / (blocks - 2) / (away @ away)))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, blocks - 2)) * error
    # To the byte an hour: memory that stands still has no slope, whatever floating point makes of it.
    return Slope(*(round(value, 6) for value in (estimate, estimate - reach, estimate + reach)))


@dataclass(frozen=True)
class Memory:
    """What was sampled of a process that lived to the end."""

    name: str
    seconds: list[float]
    """Since the soak began, rising."""
    mib: list[float]

    def last_third(self, whole: float) -> Slope | None:
        """The slope over the last third of a soak of `whole` seconds."""
        late = [(at, held) for at, held in zip(self.seconds, self.mib, strict=True) if at >= whole * 2 / 3]
        return slope([at for at, _ in late], [held for _, held in late])
