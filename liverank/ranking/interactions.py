"""Events in columns: what every ranker is fitted on. Needs numpy alone, so that training can be tried anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Events:
    """Interactions in columns, sorted by user, time and event id; one entry an event."""

    user: npt.NDArray[np.int32]
    """Index into `users`."""
    item: npt.NDArray[np.int32]
    """Row of the catalogue."""
    type: npt.NDArray[np.int16]
    """Index into `types`."""
    weight: Floats
    """Evidence of interest; negative is against."""
    timestamp: npt.NDArray[np.float64]
    """Seconds since 1970-01-01 UTC."""
    users: tuple[str, ...]
    types: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.item)

    def where(self, mask: npt.NDArray[np.bool_] | Rows) -> Events:
        """The events where `mask` holds, or those at the given places, in their order."""
        return replace(
            self,
            user=self.user[mask],
            item=self.item[mask],
            type=self.type[mask],
            weight=self.weight[mask],
            timestamp=self.timestamp[mask],
        )

    @property
    def latest(self) -> float:
        """Time of the latest event, seconds since 1970; 0 where there is none."""
        return float(self.timestamp.max()) if len(self) else 0.0

    def steps(self) -> Rows:
        """Number of the step each event belongs to: a user's events of one timestamp are one step (a basket)."""
        if not len(self):
            return np.zeros(0, np.int64)
        new = (np.diff(self.user) != 0) | (np.diff(self.timestamp) != 0)
        return np.concatenate([[0], np.cumsum(new)]).astype(np.int64)

    def type_weights(self) -> dict[str, float]:
        """Mean weight of each type of event."""
        totals = np.bincount(self.type, self.weight, len(self.types))
        counts = np.bincount(self.type, minlength=len(self.types))
        return {name: float(totals[at] / counts[at]) for at, name in enumerate(self.types) if counts[at]}
