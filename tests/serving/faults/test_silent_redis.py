"""A Redis that takes connections and says nothing: rankings keep their deadline, events are refused, starts fail."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from liverank.client import Client
from tests.serving.conftest import Server, click
from tests.serving.faults.conftest import LOST, SECONDS, Servers, events_of, rank, refused_for_now, until
from tests.store.redis_server import RedisServer, redis_server

TOO_LATE = "deadline: incoming order"
DEADLINE_MS = 10_000
"""Much more than a busy machine needs, and much less than a server that waits for Redis would take."""


@contextmanager
def silent(port: int = 0) -> Iterator[int]:
    """Accepts whoever comes to a port, reads and never answers."""
    with socket.socket() as listener, contextlib.ExitStack() as connections:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connections.enter_context(listener.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(SECONDS)


@contextmanager
def frozen(redis: RedisServer) -> Iterator[None]:
    """The process stands still, its connections stay open."""
    redis.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        redis.signal(signal.SIGCONT)


@contextmanager
def replaced(redis: RedisServer) -> Iterator[None]:
    """Something else listens in its place."""
    redis.kill()
    with silent(redis.port):
        yield
    redis.start()


@pytest.mark.parametrize("fault", [frozen, replaced])
def test_rankings_keep_their_deadline_and_events_are_refused(
    servers: Servers, fault: Callable[[RedisServer], contextlib.AbstractContextManager[None]], tmp_path: Path
) -> None:
    with redis_server(tmp_path / "redis") as redis:
        server = servers(f"serving.store={redis.url()}").start()
        with server.client() as client, Client(server.url, rank_deadline_ms=DEADLINE_MS) as caller:
            until(lambda: client.post("/v1/events", json=click(0)).status_code == 202)
            with fault(redis):
                why = refused_for_now(client.post("/v1/events", json=click(1)))
                assert "Send it again, nothing is taken twice; the live store does not answer" in why
                for number in range(20):
                    ranking = caller.rank(f"v{number}", ["a", "b", "c"], fallback=False)
                    assert {LOST, TOO_LATE} & set(ranking.degraded), ranking
                    assert ranking.item_ids == ["a", "b", "c"]
                # The time that a ranking may wait for Redis is longer than this one has.
                assert {LOST, TOO_LATE} & set(rank(client, deadline_ms=5).json()["degraded"])
                assert client.get("/v2/models/liverank/ready").status_code == 200
            until(lambda: client.post("/v1/events", json=click(2)).status_code == 202)
            until(lambda: rank(client).json()["degraded"] == [])
            kept = [event["event_id"] for event in events_of(client)]
            # A frozen Redis may find the refused event on its connection when it goes on: refused is not forgotten.
            assert kept in (["u-0", "u-2"], ["u-0", "u-1", "u-2"])
            assert fault is frozen or "u-1" not in kept


def test_a_start_on_a_silent_redis_ends(servers: Servers) -> None:
    with silent() as port:
        server: Server = servers(f"serving.store=redis://127.0.0.1:{port}/0")
        server.process = server.launch()
        assert server.process.wait(SECONDS) == 2
    output = server.output()
    assert "cannot be reached" in output
    assert "Traceback" not in output
