from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from liverank.store import open_store
from tests.serving.conftest import Server, click, ids

Servers = Callable[..., Server]


def rank(client: httpx.Client, user: str = "u", candidates: str = "abc") -> httpx.Response:
    return client.post("/v1/rank", json={"user_id": user, "candidates": list(candidates)})


def send_until_it_dies(client: httpx.Client) -> list[str]:
    acknowledged: list[str] = []
    try:
        for number in range(100_000):
            assert client.post("/v1/events", json=click(number, item="c")).status_code == 202
            acknowledged.append(f"u-{number}")
    except httpx.TransportError:
        return acknowledged
    raise AssertionError("the server did not die")


def test_an_acknowledged_event_survives_kill_9_and_changes_the_ranking(servers: Servers) -> None:
    server = servers().start()
    killer = threading.Timer(0.4, server.kill, [signal.SIGKILL])
    with server.client() as client:
        assert client.put("/v1/items", json={"item_id": "b"}).status_code == 200
        killer.start()
        acknowledged = send_until_it_dies(client)
    killer.join()
    server.start()
    with server.client() as client:
        kept = [record["event_id"] for record in client.get("/v1/users/u").json()["records"]]
        assert kept[: len(acknowledged)] == acknowledged
        assert len(acknowledged) > 5
        assert ids(rank(client)) == ["c", "b", "a"]


def test_impressions_are_drained_at_shutdown(servers: Servers) -> None:
    server = servers().start()
    with server.client() as client:
        answers = [rank(client).json()["impression_id"] for _ in range(50)]
    assert server.kill() == 128 + signal.SIGTERM
    store = open_store(server.workspace / "live.db")
    assert [record.impression_id for _, record in store.export()] == answers  # type: ignore[union-attr]
    store.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_open_requests_end(servers: Servers, number: int) -> None:
    server = servers().start()
    (server.workspace / "slow").write_text("0.6")
    answers: list[httpx.Response] = []
    with server.client() as client:
        asking = threading.Thread(target=lambda: answers.append(rank(client)))
        asking.start()
        time.sleep(0.2)
        assert server.kill(number) == 128 + number
        asking.join()
    assert [answer.status_code for answer in answers] == [200]
    assert not (server.workspace / "server.json").exists()
    assert server.process is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(server.process.pid, 0)
    assert server.output() == ""


def test_swaps_under_load_lose_no_request(servers: Servers) -> None:
    server = servers().start()
    stop = threading.Event()
    seen: list[tuple[int, str]] = []

    def hammer(user: str) -> None:
        with server.client() as client:
            while not stop.is_set():
                answer = rank(client, user)
                seen.append((answer.status_code, answer.json().get("model_version", "")))

    threads = [threading.Thread(target=hammer, args=(f"u{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    with server.client() as client:
        client.put("/v1/items", json={"item_id": "b"})
        for version in ("2", "3", "4"):
            time.sleep(0.15)
            (server.workspace / "version").write_text(version)
            answer = client.post("/v2/repository/models/liverank/load")
            assert (answer.status_code, answer.json()) == (
                200,
                {"name": "liverank", "version": version, "state": "READY"},
            )
            assert rank(client).json()["model_version"] == version
            assert f'"version": "{version}"' in (server.workspace / "server.json").read_text()
        time.sleep(0.15)
        stop.set()
        for thread in threads:
            thread.join()
        # The items that came over the wire are known to the new model too.
        assert ids(rank(client, "nobody")) == ["b", "a", "c"]
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} == {"1", "2", "3", "4"}


def test_a_swap_that_fails_leaves_the_old_model(servers: Servers) -> None:
    server = servers().start()
    (server.workspace / "version").write_text("broken")
    with server.client() as client:
        answer = client.post("/v2/repository/models/liverank/load")
        assert answer.status_code == 503
        assert answer.json() == {"error": "Version 1 still serves: The bundle is damaged."}
        assert rank(client).json()["model_version"] == "1"
        assert 'liverank_swaps_total{outcome="failed"} 1.0' in client.get("/metrics").text


def test_too_many_waiting_is_a_503(servers: Servers) -> None:
    server = servers("serving.queue_requests=2", "serving.batch_requests=1").start()
    (server.workspace / "slow").write_text("0.5")
    answers: list[httpx.Response] = []

    def ask() -> None:
        with server.client() as client:
            answers.append(rank(client))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert len(refused) >= 4
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json() == {"error": "Too many requests wait for the model."}


def test_a_taken_port_is_said(servers: Servers) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name in ("http_port", "grpc_port"):
            server = servers(f"serving.{name}={port}")
            server.process = server.launch()
            assert server.process.wait(30) == 2
            said = server.output()
            assert f"127.0.0.1:{port}" in said
            assert f"set serving.{name}" in said
            assert "Traceback" not in said


def test_a_broken_model_ends_the_start(servers: Servers) -> None:
    server = servers()
    server.workspace.mkdir(parents=True)
    (server.workspace / "version").write_text("broken")
    server.process = server.launch()
    assert server.process.wait(30) == 2
    assert server.output() == "Error: The bundle is damaged.\n"


def test_metrics(servers: Servers) -> None:
    server = servers().start()
    with server.client() as client:
        for _ in range(3):
            rank(client)
        client.post("/v1/rank", json={})
        client.post("/v1/rank", json={"user_id": "u", "candidates": ["a"], "explain": True})
        client.post("/v1/events", json=click(1))
        said = client.get("/metrics").text.splitlines()
    for line in (
        'liverank_requests_total{route="POST /v1/rank",status="200"} 4.0',
        'liverank_requests_total{route="POST /v1/rank",status="400"} 1.0',
        'liverank_requests_total{route="POST /v1/events",status="202"} 1.0',
        'liverank_request_seconds_count{route="POST /v1/rank"} 5.0',
        'liverank_degraded_total{reason="explain"} 1.0',
        'liverank_model_info{hash="hash-of-1",version="1"} 1.0',
        "liverank_queue_requests 0.0",
        "liverank_batch_requests_count 4.0",
        "liverank_impressions_dropped_total 0.0",
        "liverank_records_total 1.0",
    ):
        assert line in said
    assert any(line.startswith('liverank_request_seconds_bucket{le="0.0005"') for line in said)
