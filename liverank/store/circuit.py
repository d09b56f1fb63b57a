"""Remembers for a moment that a store is down, so that each call need not find out by waiting."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from liverank.errors import StoreError

OPEN_SECONDS: Final = 1.0
"""How long calls are refused after one has failed."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Unreachable(StoreError):
    """The store did not answer: it may still do what was asked, and other calls need not try at once."""


class CircuitBreaker:
    """Lets calls through; once one finds the store unreachable, refuses all for a second, then lets a single one try.

    Says in the log when the store is lost and when it is back, not each time that it is missed.
    """

    def __init__(self, seconds: float = OPEN_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._lost: Unreachable | None = None
        self._until = 0.0

    def call(self, work: Callable[[], T]) -> T:
        """What `work` returns.

        Raises:
            Unreachable: `work` raised it, or a call did so within the last second.
        """
        self._enter()
        try:
            result = work()
        except Unreachable as problem:
            self._failed(problem)
            raise
        except StoreError:
            self._answered()  # by a refusal
            raise
        self._answered()
        return result

    def _enter(self) -> None:
        if self._lost is None:
            return
        with self._lock:
            now = self._clock()
            if self._lost is not None:
                if now < self._until:
                    raise Unreachable(self._lost.message, self._lost.hint)
                # This call tries; the others go on being refused until it knows.
                self._until = now + self._seconds

    def _failed(self, problem: Unreachable) -> None:
        with self._lock:
            if self._lost is None:
                _log.warning("%s", problem)
            self._lost, self._until = problem, self._clock() + self._seconds

    def _answered(self) -> None:
        if self._lost is None:
            return
        with self._lock:
            if self._lost is not None:
                _log.warning("The live store answers again.")
            self._lost = None
