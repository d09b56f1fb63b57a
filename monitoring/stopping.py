"""Signals that are not forgotten: a watch that was asked to stop stops, whatever it was doing at that moment."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

SLICE_SECONDS: Final = 0.5


class Stopping:
    """Remembers SIGINT and SIGTERM, and passes them on to the handlers that were there.

    The exception that a handler raises can be swallowed where it strikes (an import's lock, a finaliser); `pause` then
    still knows that the watch is to end.
    """

    def __init__(self) -> None:
        self.number = 0
        """The signal that came; 0 before any."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember(signal.getsignal(number)))

    def _remember(self, before: Any) -> Callable[[int, FrameType | None], Any]:
        def handler(number: int, frame: FrameType | None) -> None:
            self.number = number
            if callable(before):
                before(number, frame)

        return handler

    def pause(self, seconds: float) -> bool:
        """Waits that long; False as soon as a signal has come."""
        deadline = time.monotonic() + seconds
        while not self.number and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, SLICE_SECONDS))
        return not self.number
