"""A mean over lists with users as the unit: what is known of one variant, kept up with every list and answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class ClusteredRatio:
    """The mean outcome of a variant's lists, sum of y / sum of n over users, and its standard error.

    The variance is that of a ratio whose observations are users (the delta method, also known as linearisation):
    sum over users of (y - mean * n)^2 / (sum of n)^2, times users / (users - 1). A user with a thousand lists is one
    observation.
    """

    total: float = 0.0
    """Sum of the outcomes."""
    lists: float = 0.0
    positive: int = 0
    """Users with an outcome above 0."""
    _users: dict[str, tuple[float, float]] = field(default_factory=dict)
    _yy: float = 0.0
    _yn: float = 0.0
    _nn: float = 0.0

    @property
    def users(self) -> int:
        """Users with a list."""
        return len(self._users)

    def add(self, user_id: str, outcome: float, lists: float = 0.0) -> None:
        """Adds to a user's outcome and lists; answers come later than their lists."""
        y, n = self._users.get(user_id, (0.0, 0.0))
        after_y, after_n = y + outcome, n + lists
        self._users[user_id] = (after_y, after_n)
        self.total += outcome
        self.lists += lists
        self.positive += (after_y > 0) - (y > 0)
        self._yy += after_y**2 - y**2
        self._yn += after_y * after_n - y * n
        self._nn += after_n**2 - n**2

    @property
    def mean(self) -> float:
        """The mean outcome of a list; NaN without lists."""
        return self.total / self.lists if self.lists else math.nan

    @property
    def error(self) -> float:
        """Its standard error; NaN with fewer than two users."""
        if self.users < 2:
            return math.nan
        mean = self.mean
        squares = max(self._yy - 2 * mean * self._yn + mean**2 * self._nn, 0.0)
        return math.sqrt(squares * self.users / (self.users - 1)) / self.lists
