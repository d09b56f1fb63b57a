"""Heavy lists are shaped beside the event loop: others are answered meanwhile, and too many are refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serving.batching import QueueFullError
from serving.shaping_queue import ShapingQueue
from tests.serving.conftest import Server

LISTS = 4
CAPS = [{"attribute": f"a{at}", "most": 1} for at in range(8)]


def test_a_list_that_is_shaped_holds_nobody_up_but_those_behind_it() -> None:
    go = threading.Event()
    order: list[str] = []

    def first() -> None:
        go.wait(30)
        order.append("first")

    async def main() -> None:
        queue = ShapingQueue(2)
        shaped = [asyncio.ensure_future(queue.done(each)) for each in (first, lambda: order.append("second"))]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await queue.done(lambda: None)
        order.append("refused")
        closing = asyncio.ensure_future(queue.close())
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*shaped, closing)
        with pytest.raises(QueueFullError):
            await queue.done(lambda: None)

    asyncio.run(main())
    assert order == ["refused", "first", "second"]


def test_what_fails_leaves_its_place() -> None:
    async def main() -> str:
        queue = ShapingQueue(1)
        with pytest.raises(ZeroDivisionError):
            await queue.done(lambda: 1 // 0)
        found = await queue.done(lambda: threading.current_thread().name)
        await queue.close()
        return found

    assert asyncio.run(main()).startswith("shaping")


def test_health_answers_while_heavy_lists_are_shaped(servers: Callable[..., Server]) -> None:
    rng = np.random.default_rng(0)
    candidates = [
        {"item_id": f"i{row}", "attributes": {f"a{at}": str(value) for at, value in enumerate(values)}}
        for row, values in enumerate(rng.integers(0, 300, (2000, 8)))
    ]
    heavy = {"user_id": "u", "candidates": candidates, "k": 5, "rules": {"caps": CAPS}, "explain": True}
    server = servers("serving.surfaces={}").start()
    with server.client() as client, ThreadPoolExecutor(1) as other:
        asked = other.submit(client.post, "/v1/models/liverank:predict", json={"instances": [heavy] * LISTS})
        between = set()
        while not asked.done():
            assert client.get("/v2/health/live").status_code == 200
            between.add(shaped(client.get("/metrics").text))
        assert asked.result().status_code == 200
        # In the event loop all lists were shaped between two answers.
        assert between & set(range(1, LISTS))


def shaped(metrics: str) -> int:
    """How many lists the server has shaped."""
    start = 'liverank_stage_seconds_count{stage="shaping"} '
    return next(int(float(line.removeprefix(start))) for line in metrics.splitlines() if line.startswith(start))
