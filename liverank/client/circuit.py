"""A circuit breaker (Nygard, "Release It!", 2007): a server that fails again and again is left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal


class CircuitBreaker:
    """Closed: calls pass. Open, after `failures` in a row: none does for `seconds`. Then half-open: one call tries.

    The try closes the circuit or opens it again; one that never says how it ended is followed by another after
    `seconds`. Not for use by several threads at once.
    """

    def __init__(self, failures: int = 5, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        if failures < 1 or not seconds > 0:
            raise ValueError(f"A circuit breaker needs failures >= 1 and seconds > 0, not {failures} and {seconds}.")
        self._most = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._opens_at: float | None = None
        self._trying = False

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """What it is now."""
        if self._opens_at is None:
            return "closed"
        return "half-open" if self._trying or self._clock() >= self._opens_at else "open"

    def allows(self) -> bool:
        """Whether a call may be made; a caller that is told so makes it."""
        if self._opens_at is None:
            return True
        if self._clock() < self._opens_at:
            return False
        self._trying, self._opens_at = True, self._clock() + self._seconds
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures, self._opens_at, self._trying = 0, None, False

    def failed(self) -> None:
        """A call was not answered."""
        self._failures += 1
        if self._trying or self._failures >= self._most:
            self._opens_at, self._trying = self._clock() + self._seconds, False
