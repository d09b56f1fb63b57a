"""What goes on going wrong is logged once in a while, not for each request that meets it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

SILENCE_SECONDS: Final = 60.0

_log = logging.getLogger(__name__)


class Troubles:
    """Logs a problem as a warning, the same text again only after a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said = ""
        self._at = 0.0

    def say(self, problem: Exception) -> None:
        """Tells of a problem."""
        text, now = str(problem), self._clock()
        if text != self._said or now - self._at >= SILENCE_SECONDS:
            self._said, self._at = text, now
            _log.warning("%s", text)
