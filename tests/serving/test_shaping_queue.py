"""Heavy lists are shaped beside the event loop: others are answered meanwhile, and too many are refused."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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


def test_a_deadline_ends_the_wait_and_not_the_list_before() -> None:
    go = threading.Event()

    async def main() -> bool:
        queue = ShapingQueue(2)
        with pytest.raises(TimeoutError):
            await queue.done(lambda: None, time.perf_counter())
        first = asyncio.ensure_future(queue.done(lambda: go.wait(30), time.perf_counter() + 60))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await queue.done(lambda: None, time.perf_counter() + 0.02)
        go.set()
        done = await first
        await queue.close()
        return done

    assert asyncio.run(main())


def heavy(**more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    candidates = [
        {"item_id": f"i{row}", "attributes": {f"a{at}": str(value) for at, value in enumerate(values)}}
        for row, values in enumerate(rng.integers(0, 300, (2000, 8)))
    ]
    return {"user_id": "u", "candidates": candidates, "k": 5, "explain": True, **more}


@pytest.fixture(scope="module")
def server(servers: Callable[..., Server]) -> Server:
    return servers("serving.surfaces={}").start()


def test_rules_that_take_longer_than_the_deadline_are_left_out_by_name(server: Server) -> None:
    boosts = [{"attribute": "a0", "value": "1", "add": 1}]
    rules = {"boost": boosts, "caps": CAPS, "diversity": {"method": "dpp"}, "exclude": ["i0"], "pin": ["i7"]}
    with server.client() as client:
        before = late(client.get("/metrics").text)
        answer = client.post("/v1/rank", json=heavy(rules=rules, deadline_ms=0.001)).json()
        assert late(client.get("/metrics").text) == before + 1, "one ranking, though two things are late"
    assert answer["degraded"][0] == "deadline: incoming order"
    assert "deadline: no time for rules.boost, rules.caps, rules.diversity, costs" in answer["degraded"]
    shown = [line["item_id"] for line in answer["ranking"]]
    assert len(shown) == 5
    assert shown[0] == "i7"
    assert "i0" not in shown
    assert "costs" not in answer


def test_rules_hold_within_the_deadline(server: Server) -> None:
    rules = {"caps": [{"attribute": "a0", "most": 1}]}
    with server.client() as client:
        answer = client.post("/v1/rank", json=heavy(rules=rules, explain=False, deadline_ms=30_000)).json()
    assert answer["degraded"] == []


def test_health_answers_while_heavy_lists_are_shaped(server: Server) -> None:
    instances = [heavy(rules={"caps": CAPS})] * LISTS
    with server.client() as client, ThreadPoolExecutor(1) as other:
        asked = other.submit(client.post, "/v1/models/liverank:predict", json={"instances": instances})
        between = set()
        while not asked.done():
            assert client.get("/v2/health/live").status_code == 200
            between.add(shaped(client.get("/metrics").text))
        assert asked.result().status_code == 200
        # In the event loop all lists were shaped between two answers.
        assert between & set(range(1, LISTS))


def late(metrics: str) -> int:
    """How many rankings lacked something for their deadline."""
    return counted(metrics, 'liverank_degraded_total{reason="deadline"} ')


def shaped(metrics: str) -> int:
    """How many lists the server has shaped."""
    return counted(metrics, 'liverank_stage_seconds_count{stage="shaping"} ')


def counted(metrics: str, start: str) -> int:
    return next(int(float(line.removeprefix(start))) for line in metrics.splitlines() if line.startswith(start))
