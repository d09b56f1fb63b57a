"""The server's clock, and how far ahead of it a caller's may be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The instant by the machine."""
    return datetime.now(UTC)


class Clock:
    """Tells the time to whatever dates or checks a request."""

    def __init__(self, now: Callable[[], datetime], ahead_seconds: float) -> None:
        self._now = now
        self._ahead_seconds = ahead_seconds

    def now(self) -> datetime:
        """The instant that a request would get now."""
        return self._now()

    def latest(self, now: datetime) -> float:
        """The latest time a caller may name at `now`, in epoch seconds: clocks differ a little."""
        return now.timestamp() + self._ahead_seconds
