"""The load that servers are put under counts every request from when it was due, and the page judges what it shows."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import contextmanager
from itertools import count

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks import interest_bundle, peers
from benchmarks.load import Target, at_rate, closed, rank_bodies, usage
from benchmarks.measure import measure
from benchmarks.serving_page import ANEW, CROSS_ENCODER, FLOOR, Cell, Measurements, part
from benchmarks.serving_world import COUNT, INTEREST
from liverank.cli.demo.server import free_port

BODIES = rank_bodies([f"item-{number}" for number in range(50)], 20, ["a", "b"], 10, 1)


@contextmanager
def serving(app):
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.config.port}/v1/rank"
    finally:
        server.should_exit = True
        thread.join()


def answering(answer):
    return Starlette(routes=[Route("/v1/rank", answer, methods=["POST"])])


def test_both_loads_count_every_answer():
    with serving(peers.floor()) as url:
        target = Target(url, BODIES)
        for tally in (closed(target, 4, 0.2), at_rate(target, 100, 0.2)):
            figures = tally.figures()
            assert figures["count"] == len(tally.seconds) >= 4
            assert figures["failed"] == figures["degraded"] == 0
            assert 0 < figures["p50"] <= figures["p95"] <= figures["p99"] <= figures["p99.9"]
        assert len(tally.seconds) == 20


def test_refusals_and_degraded_rankings_are_told():
    turn = count()

    async def answer(request):
        number = next(turn)
        return JSONResponse({"degraded": ["texts"] if number % 2 else []}, 503 if number < 5 else 200)

    with serving(answering(answer)) as url:
        tally = at_rate(Target(url, BODIES), 200, 0.1)
    assert tally.failed == 5
    assert len(tally.seconds) == 15
    assert tally.degraded == 8


def test_a_stalled_server_is_charged_for_all_that_it_kept_waiting():
    turn = count()

    async def answer(request):
        if next(turn) == 0:
            await asyncio.to_thread(lambda: None)
            threading.Event().wait(0.5)  # holds the server's loop: nobody is answered meanwhile
        return JSONResponse({})

    with serving(answering(answer)) as url:
        tally = at_rate(Target(url, BODIES), 100, 0.5)
    assert len(tally.seconds) == 50
    assert sum(seconds > 0.1 for seconds in tally.seconds) >= 35


def test_nobody_there():
    with pytest.raises(ConnectionRefusedError):
        closed(Target(f"http://127.0.0.1:{free_port()}/v1/rank", BODIES), 1, 0.1)


def test_usage_is_that_of_the_process():
    before = usage(os.getpid())
    began = time.process_time()
    while time.process_time() - began < 0.05:  # several of the ticks that it is counted in
        pass
    after = usage(os.getpid())
    assert after.cpu_seconds > before.cpu_seconds
    assert after.rss_mib > 10


def test_the_cross_encoder_ranks_every_candidate():
    from fastapi.testclient import TestClient

    app = peers.cross_encoder({"a": "A red lamp", "b": "A desk", "c": "A lamp"}, {"u": ["a"]})
    answer = TestClient(app).post("/v1/rank", json={"user_id": "u", "candidates": ["b", "c"]})
    assert answer.status_code == 200
    assert {line["item_id"] for line in answer.json()["ranking"]} == {"b", "c"}


@pytest.mark.parametrize(("floor", "cross", "verdicts"), [(1.0, 100.0, 0), (0.5, 90.0, 2)])
def test_the_page_judges_by_the_bars(floor, cross, verdicts):
    def cell(server: str, size: int, p50: float) -> Cell:
        counts = {"count": 7, "degraded": 6, "failed": 2}
        return Cell(server, size, 0.5, {"p50": p50, "p95": 3, "p99": 4, "p99.9": 5, "rate": 9, **counts})

    found = Measurements()
    for server, p50 in ((FLOOR, floor), (COUNT, 2.9), (INTEREST + ANEW, 2.0), (CROSS_ENCODER, cross)):
        found.closed[1].append(cell(server, 100, p50))
    found.alone.append(cell(INTEREST + ANEW, 500, 4.0))
    found.overheads[INTEREST, 500] = 0.5
    found.rss_mib[FLOOR] = 40
    text = part("where\n", found)
    assert text.count("**missed**") == verdicts
    assert "| answers | degraded | failed |" in text
    (floor_line,) = (line for line in text.splitlines() if line.startswith("| floor | 100 | "))
    assert floor_line.endswith("| 7 | 6 | 2 |")
    assert "| floor | 40 MiB |" in text


def test_the_model_alone_is_called_at_the_same_times(tmp_path, monkeypatch):
    for name, value in (("USERS", 30), ("ITEMS", 60), ("LISTS", 2)):
        monkeypatch.setattr(interest_bundle, name, value)
    done = measure(
        "serving_paced", bundle=str(interest_bundle.make(tmp_path)), size=20, history=5, rate=50, seconds=0.4
    )
    assert done.result["count"] == 20
    assert 0 < done.result["p50"] <= done.result["p99.9"]
    assert done.result["cpu_ms"] > 0
    # Spread over the time, and not one after the other.
    assert done.work_seconds > 0.38
