"""How long a call may take, and how long it waits before it is tried again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SERVER_SHARE = 0.9
"""Of what is left of a deadline, what the server is told: the rest is for the way there and back."""


class Deadline:
    """An instant that a call must not outlast; `left` in seconds, negative once it has passed."""

    def __init__(self, milliseconds: float) -> None:
        if not milliseconds > 0:
            raise ValueError(f"deadline_ms must be above 0, not {milliseconds}.")
        self.milliseconds = milliseconds
        self._at = time.monotonic() + milliseconds / 1000

    @property
    def left(self) -> float:
        """Seconds until then."""
        return self._at - time.monotonic()

    @property
    def for_server(self) -> float:
        """Milliseconds that the server is given, above 0."""
        return max(self.left * 1000 * SERVER_SHARE, 0.001)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", 2015).

    Before the n-th retry, counted from 0, it waits a time drawn evenly from 0 to min(`most`, `first` * 2**n) seconds.
    """

    retries: int = 3
    first: float = 0.02
    most: float = 1.0

    def wait(self, retry: int, retry_after: float) -> float:
        """Seconds to wait before a retry; never less than the server asked for."""
        return max(retry_after, random.uniform(0, min(self.most, self.first * 2**retry)))


def retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0 where it says nothing to be understood."""
    if not value:
        return 0.0
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
