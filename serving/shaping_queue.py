"""Lists whose rules need a search or many comparisons: shaped beside the event loop, which answers others meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from serving.batching import QueueFullError

R = TypeVar("R")


class ShapingQueue:
    """One thread; at most `waiting` lists are there at once. Coroutines run in the server's event loop."""

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting
        self._open = 0
        self._closed = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shaping")

    async def done(self, shape: Callable[[], R], until: float | None = None) -> R:
        """What `shape` returns or raises, on the thread.

        Args:
            shape: the call.
            until: when it is needed, on the clock of `time.perf_counter`; None: whenever it is done.

        Raises:
            QueueFullError: too many lists wait, or the queue is closed.
            TimeoutError: it was not done until then.
        """
        if self._closed or self._open >= self._waiting:
            raise QueueFullError
        left = None if until is None else until - time.perf_counter()
        if left is not None and left <= 0:
            raise TimeoutError
        self._open += 1
        try:
            shaping = asyncio.get_running_loop().run_in_executor(self._pool, shape)
            return await asyncio.wait_for(shaping, left)
        finally:
            self._open -= 1

    async def close(self) -> None:
        """Shapes what waits, then ends the thread."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)
