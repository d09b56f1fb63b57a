"""A server that is killed at each stage of writing an event: acknowledged is kept, and sent again is not doubled."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Server, click, ids
from tests.serving.faults.conftest import Servers, events_of, rank
from tests.serving.faults.hooked import BEFORE, COMMITTED, STAGES
from tests.store.redis_server import RedisServer

HOOKED = ("-m", "tests.serving.faults.hooked")
PATIENT = ("store.read_timeout_ms=5000", "store.write_timeout_ms=20000")


def dies_at(server: Server, stage: str, batch: list[dict[str, Any]]) -> None:
    """Sends events to a server that dies of them, and starts it again."""
    (server.workspace / "die").write_text(stage)
    with server.client() as client, pytest.raises(httpx.TransportError):
        client.post("/v1/events", json=batch)
    assert server.process is not None
    assert server.process.wait(30) == -signal.SIGKILL
    (server.workspace / "die").unlink()
    (server.workspace / "server.json").unlink()
    server.start()


def kept_and_not_doubled(server: Server, stages: tuple[str, ...]) -> None:
    """Each stage once, with events before it and the dying ones sent again after it."""
    sent: list[dict[str, Any]] = []
    for number, stage in enumerate(stages):
        first, *dying = (click(4 * number + step, item="abc"[step % 3]) for step in range(4))
        with server.client() as client:
            assert client.post("/v1/events", json=first).json() == {"accepted": 1, "new": 1}
        sent.append(first)
        dies_at(server, stage, dying)
        with server.client() as client:
            written = stage == COMMITTED
            kept = [event["event_id"] for event in events_of(client)]
            assert kept == [event["event_id"] for event in (*sent, *(dying if written else ()))], stage
            again = client.post("/v1/events", json=dying)
            assert again.json() == {"accepted": 3, "new": 0 if written else 3}, stage
            sent += dying
            kept_now = [(event["event_id"], event["item_id"], event["type"]) for event in events_of(client)]
            assert kept_now == [(event["event_id"], event["item_id"], event["type"]) for event in sent], stage
    with server.client() as client:
        # a: 2 events a stage, b and c: 1.
        assert ids(rank(client, candidates="cba"))[0] == "a"


def test_killed_while_it_writes_to_a_file(servers: Servers) -> None:
    kept_and_not_doubled(servers(command=HOOKED).start(), STAGES)


def test_killed_while_it_writes_to_redis(servers: Servers, redis: RedisServer, tmp_path: Path) -> None:
    """A write is one script there: there is no stage between write and commit."""
    server = servers(f"serving.store={redis.url(tmp_path)}", *PATIENT, command=HOOKED).start()
    kept_and_not_doubled(server, (BEFORE, COMMITTED))
