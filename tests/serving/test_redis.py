"""Servers on one Redis: what one takes the others know, and what they do while it is away."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Server, click, ids
from tests.store.redis_server import RedisServer, redis_server

Servers = Callable[..., Server]
SECONDS = 30
LOST = "history: the live store cannot be read"
UNRECORDED = "impression: not recorded"


def on(servers: Servers, redis: RedisServer, folder: Path | None = None) -> Server:
    """A running server on a folder's database; patient, because the machine may be busy."""
    patient = ("store.read_timeout_ms=5000", "store.write_timeout_ms=20000")
    return servers(f"serving.store={redis.url(folder)}", *patient).start()


def rank(client: httpx.Client, user: str = "u", candidates: str = "abc") -> httpx.Response:
    return client.post("/v1/rank", json={"user_id": user, "candidates": list(candidates)})


def until(wanted: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not wanted():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_what_one_server_takes_the_other_ranks_by(servers: Servers, redis: RedisServer, tmp_path: Path) -> None:
    one, other = on(servers, redis, tmp_path), on(servers, redis, tmp_path)
    with one.client() as first, other.client() as second:
        for number in range(6):
            user, item = f"u{number}", "abc"[number % 3]
            sender, asked = (first, second) if number % 2 else (second, first)
            answer = sender.post("/v1/events", json=click(number, user, item))
            assert answer.json() == {"accepted": 1, "new": 1}
            assert ids(rank(asked, user))[0] == ids(rank(sender, user))[0] == item
        assert first.post("/v1/events", json=click(4, "u4", "b")).json() == {"accepted": 1, "new": 0}
        assert second.post("/v1/events", json=click(5, "u5", "b")).json() == {"accepted": 1, "new": 0}
        assert first.delete("/v1/users/u5").json()["erased"] > 0
        kept = second.get("/v1/users/u5").json()["records"]
        assert [record for record in kept if record["record"] == "interaction"] == []
        assert ids(rank(second, "u5")) == ["a", "b", "c"]
    assert one.kill() == other.kill() == 128 + signal.SIGTERM


def test_each_event_is_in_the_next_ranking(servers: Servers, redis: RedisServer, tmp_path: Path) -> None:
    server = on(servers, redis, tmp_path)
    with server.client() as client:
        for number in range(40):
            item = "abc"[number % 3]
            assert client.post("/v1/events", json=click(number, f"u{number}", item)).status_code == 202
            answer = rank(client, f"u{number}")
            assert (ids(answer)[0], answer.json()["degraded"]) == (item, [])


def test_an_item_that_another_server_took_is_known_soon(servers: Servers, redis: RedisServer, tmp_path: Path) -> None:
    one, other = on(servers, redis, tmp_path), on(servers, redis, tmp_path)
    with one.client() as first, other.client() as second:
        assert ids(rank(second)) == ["a", "b", "c"]
        assert first.put("/v1/items", json={"item_id": "b"}).status_code == 200
        assert ids(rank(first)) == ["b", "a", "c"]
        until(lambda: ids(rank(second)) == ["b", "a", "c"])


def test_a_redis_that_dies_and_comes_back(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> None:
    with redis_server(tmp_path_factory.mktemp("dying")) as redis:
        server = on(servers, redis)
        with server.client() as client:
            assert client.post("/v1/events", json=click(1, item="c")).status_code == 202
            assert ids(rank(client)) == ["c", "a", "b"]
            redis.kill()
            answer = rank(client)
            assert ids(answer) == ["a", "b", "c"]
            assert LOST in answer.json()["degraded"]
            refused = client.post("/v1/events", json=click(2, item="b"))
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "5"
            assert "Send it again, nothing is taken twice; the live store does not answer" in refused.json()["error"]
            assert client.get("/v1/users/u").status_code == client.delete("/v1/users/u").status_code == 503
            assert rank(client).json()["degraded"] == [LOST, UNRECORDED]
            assert client.get("/v2/models/liverank/ready").status_code == 200
            redis.start()
            until(lambda: client.post("/v1/events", json=click(3, item="b")).status_code == 202)
            until(lambda: rank(client, "v").json()["degraded"] == [])
            # The refused event was not taken, the acknowledged ones are there.
            events = [one for one in client.get("/v1/users/u").json()["records"] if one["record"] == "interaction"]
            assert [one["event_id"] for one in events] == ["u-1", "u-3"]
            said = client.get("/metrics").text
        assert 'liverank_degraded_total{reason="history"}' in said
        assert 'liverank_degraded_total{reason="impression"}' in said
        assert "liverank_impressions_dropped_total 0.0" not in said
        assert server.kill() == 128 + signal.SIGTERM
        output = server.output()
        assert "cannot be reached" in output
        assert "The live store answers again." in output
        assert "Traceback" not in output


def test_a_redis_that_hangs_keeps_no_ranking_waiting(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with redis_server(tmp_path_factory.mktemp("hanging")) as redis:
        server = servers(f"serving.store={redis.url()}").start()
        with server.client() as client:
            redis.signal(signal.SIGSTOP)
            try:
                answers = [rank(client).json() for _ in range(30)]
                refused = client.post("/v1/events", json=click(1))
            finally:
                redis.signal(signal.SIGCONT)
            assert all(LOST in answer["degraded"] for answer in answers)
            assert refused.status_code == 503
            until(lambda: rank(client).json()["degraded"] == [])


def test_a_server_does_not_start_without_its_store(servers: Servers, redis: RedisServer) -> None:
    short = f"serving.store={redis.url()}"
    for settings, said in (
        (["serving.store=redis://127.0.0.1:1/0"], "cannot be reached"),
        ([short, "store.history_events=10"], "store.history_events is 10"),
    ):
        server = servers(*settings)
        server.process = server.launch()
        assert server.process.wait(SECONDS) == 2
        output = server.output()
        assert said in output
        assert "Traceback" not in output


def test_a_password_reaches_redis_and_no_page_or_log(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    password = "s3cret-of-the-store"
    with redis_server(tmp_path_factory.mktemp("guarded"), "--requirepass", password) as redis:
        url = redis.url().replace("://", f"://:{password}@")
        server = servers("store.read_timeout_ms=5000", environment={"LIVERANK_STORE_URL": url}).start()
        with server.client() as client:
            assert client.post("/v1/events", json=click(1, item="c")).status_code == 202
            assert ids(rank(client)) == ["c", "a", "b"]
            redis.kill()
            until(lambda: LOST in rank(client).json()["degraded"])
            told = client.post("/v1/events", json=click(2)).text + client.get("/metrics").text
        assert server.kill() == 128 + signal.SIGTERM
        assert redis.url() in told
        output = server.output()
        assert "appendonly is off" in output
        assert password not in told + output
        assert not (server.workspace / "live.db").exists()
