"""An adaptive micro-batcher: what queued while the worker was busy goes together, nothing ever waits for company."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
R = TypeVar("R")


class QueueFullError(Exception):
    """More requests wait than the queue may hold."""


class MicroBatcher(Generic[Q, A]):
    """Runs `work` on one thread of its own, on as many waiting requests as there are, at most `most` at once.

    `work` takes the requests and gives one answer each. A request whose caller has gone is skipped.
    """

    def __init__(self, work: Callable[[Sequence[Q]], Sequence[A]], most: int, waiting: int) -> None:
        self._work = work
        self._most = most
        self._waiting = waiting
        self._queue: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._running: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, request: Q) -> asyncio.Future[A]:
        """The future answer to `request`; call it in the event loop.

        Raises:
            QueueFullError: the queue is full.
        """
        if len(self._queue) >= self._waiting:
            raise QueueFullError
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._queue.append((request, answer))
        if self._running is None:
            self._running = loop.create_task(self._run())
        return answer

    async def beside(self, call: Callable[[], R]) -> R:
        """What `call` returns on the worker's thread, where it has its turn between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def close(self) -> None:
        """Answers what waits, then ends the thread."""
        if self._running is not None:
            await self._running
        self._pool.shutdown()

    async def _run(self) -> None:
        try:
            while batch := self._take():
                await self._answer(batch)
        finally:
            self._running = None

    def _take(self) -> list[tuple[Q, asyncio.Future[A]]]:
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        while self._queue and len(batch) < self._most:
            entry = self._queue.popleft()
            if not entry[1].done():
                batch.append(entry)
        return batch

    async def _answer(self, batch: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        requests = [request for request, _ in batch]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._pool, self._work, requests)
        except Exception as problem:  # noqa: BLE001  handed to the callers, who wait for it
            for _, future in batch:
                if not future.done():
                    future.set_exception(problem)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
