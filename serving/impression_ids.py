"""Names for impressions: no two are the same, and nobody can guess another one's."""

from __future__ import annotations

import os
from typing import Final

BYTES: Final = 16
AT_ONCE: Final = 256


class ImpressionIds:
    """32 hex digits each, of the system's random numbers; those are fetched for many at once, since asking costs more
    than what is asked for. For one thread, in a process that does not fork.
    """

    def __init__(self) -> None:
        self._left: list[str] = []

    def next(self) -> str:
        """Another one."""
        if not self._left:
            numbers = os.urandom(BYTES * AT_ONCE).hex()
            self._left = [numbers[at : at + 2 * BYTES] for at in range(0, len(numbers), 2 * BYTES)]
        return self._left.pop()
