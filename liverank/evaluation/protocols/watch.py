"""What a run costs: seconds by part of the work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Watch:
    """Wall-clock seconds of parts that may come again, as with each seed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.monotonic()

    def total(self) -> float:
        """Seconds since the watch was made."""
        return round(time.monotonic() - self._started, 3)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Adds what is done within to a part."""
        started = time.monotonic()
        yield
        self.add({part: time.monotonic() - started})

    def add(self, seconds: Mapping[str, float]) -> None:
        """Adds seconds that were taken elsewhere."""
        for part, more in seconds.items():
            self.seconds[part] = round(self.seconds.get(part, 0.0) + more, 3)
