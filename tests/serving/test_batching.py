from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from serving.batching import MicroBatcher, QueueFullError


class Echo:
    """Answers each number with itself; holds the first batch until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.go.wait(5)
        if 13 in numbers:
            raise ValueError("13")
        return list(numbers)


async def started(echo: Echo) -> None:
    while not echo.batches:
        await asyncio.sleep(0.001)


def test_what_queued_while_busy_goes_together() -> None:
    async def scenario() -> None:
        echo = Echo()
        batcher = MicroBatcher(echo, most=3, waiting=10)
        first = batcher.submit(0)
        await started(echo)
        rest = [batcher.submit(number) for number in range(1, 6)]
        assert len(batcher) == 5
        echo.go.set()
        assert await asyncio.gather(first, *rest) == [0, 1, 2, 3, 4, 5]
        assert echo.batches == [[0], [1, 2, 3], [4, 5]]
        await batcher.close()

    asyncio.run(scenario())


def test_a_full_queue_refuses_and_recovers() -> None:
    async def scenario() -> None:
        echo = Echo()
        batcher = MicroBatcher(echo, most=1, waiting=2)
        answers = [batcher.submit(0)]
        await started(echo)
        answers += [batcher.submit(1), batcher.submit(2)]
        with pytest.raises(QueueFullError):
            batcher.submit(3)
        echo.go.set()
        assert await asyncio.gather(*answers) == [0, 1, 2]
        assert await batcher.submit(4) == 4
        await batcher.close()

    asyncio.run(scenario())


def test_who_has_gone_is_skipped() -> None:
    async def scenario() -> None:
        echo = Echo()
        batcher = MicroBatcher(echo, most=10, waiting=10)
        first = batcher.submit(0)
        await started(echo)
        gone, stays = batcher.submit(1), batcher.submit(2)
        gone.cancel()
        echo.go.set()
        assert await asyncio.gather(first, stays) == [0, 2]
        assert echo.batches == [[0], [2]]
        await batcher.close()

    asyncio.run(scenario())


def test_a_failure_reaches_its_callers_and_the_next_batch_runs() -> None:
    async def scenario() -> None:
        echo = Echo()
        echo.go.set()
        batcher = MicroBatcher(echo, most=10, waiting=10)
        with pytest.raises(ValueError, match="13"):
            await batcher.submit(13)
        assert await batcher.submit(1) == 1
        await batcher.close()

    asyncio.run(scenario())


def test_close_answers_what_waits() -> None:
    async def scenario() -> None:
        echo = Echo()
        echo.go.set()
        batcher = MicroBatcher(echo, most=1, waiting=10)
        answers = [batcher.submit(number) for number in range(5)]
        await batcher.close()
        assert [answer.result() for answer in answers] == [0, 1, 2, 3, 4]

    asyncio.run(scenario())
