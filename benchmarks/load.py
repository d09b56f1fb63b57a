"""Load on an HTTP endpoint from one event loop: closed loop (each client waits for its answer) and open loop.

In the open loop requests leave at fixed times whatever the answers take, each on a connection that is free (a new one
where none is), and their time counts from when they were planned: a server that stalls is charged for every request
that it kept waiting, not for one alone (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import uvloop

from benchmarks.latency import quantile

SPIN_SECONDS: Final = 0.002
"""How long before a planned time the loop is polled without a rest: its timers know whole milliseconds only."""
DRAIN_SECONDS: Final = 60
MOST_CONNECTIONS: Final = 256
SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_UNDEGRADED: Final = b'"degraded":[]'


@dataclass(frozen=True)
class Target:
    """What is asked, in turn: the bodies of `POST url`."""

    url: str
    bodies: Sequence[bytes]

    def requests(self) -> list[bytes]:
        """Each body as the bytes of a whole request."""
        parts = urlsplit(self.url)
        head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        return [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in self.bodies]


@dataclass
class Tally:
    """What came back."""

    seconds: list[float] = field(default_factory=list)
    """Of each answered request."""
    failed: int = 0
    """Answers of another status than 200, and requests without any."""
    degraded: int = 0
    """Rankings that say that they lack something."""
    wall: float = 0.0
    """From the first request to the last answer."""

    def figures(self) -> dict[str, float]:
        """Quantiles in ms, requests a second and counts; of nothing, the counts alone."""
        counts = {"count": len(self.seconds), "failed": self.failed, "degraded": self.degraded}
        if not self.seconds:
            return dict(counts)
        ordered = sorted(self.seconds)
        shares = {name: 1000 * quantile(ordered, of) for name, of in SHARES.items()}
        return {**shares, "rate": len(ordered) / self.wall, **counts}


def closed(target: Target, clients: int, seconds: float) -> Tally:
    """`clients` connections, each with one request under way at a time, for `seconds`."""
    return _run(_closed(target, clients, seconds))


def at_rate(target: Target, rate: float, seconds: float) -> Tally:
    """`rate` requests a second at fixed times for `seconds`; waits for the answers of all."""
    return _run(_at_rate(target, rate, seconds))


@dataclass(frozen=True)
class Usage:
    """What a process has used so far, and holds."""

    cpu_seconds: float
    rss_mib: float


def usage(pid: int) -> Usage:
    """Processor time of a process, system calls included, and its resident memory."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


class _Connection(asyncio.Protocol):
    """Sends one request at a time and tells when its answer is whole."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._got = bytearray()
        self._size = 0
        self._done: Callable[[bytes], None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, request: bytes, done: Callable[[bytes], None]) -> None:
        """`done` gets the whole answer, nothing where the connection was lost."""
        self._got.clear()
        self._size = 0
        self._done = done
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._size:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._got[:end]).lower()
            self._size = end + 4 + int(head.rpartition(b"content-length:")[2].split(b"\r\n")[0])
        if len(self._got) >= self._size:
            self._finish(bytes(self._got))

    def connection_lost(self, problem: Exception | None) -> None:
        self._finish(b"")

    def _finish(self, answer: bytes) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(answer)

    def close(self) -> None:
        self._transport.close()


def _note(tally: Tally, answer: bytes, seconds: float) -> None:
    if not answer.startswith(b"HTTP/1.1 200"):
        tally.failed += 1
        return
    tally.seconds.append(seconds)
    if b'"degraded":' in answer and _UNDEGRADED not in answer:
        tally.degraded += 1


async def _connect(target: Target) -> _Connection:
    parts = urlsplit(target.url)
    _, connection = await asyncio.get_running_loop().create_connection(
        _Connection, parts.hostname or "", parts.port or 80
    )
    return connection


async def _closed(target: Target, clients: int, seconds: float) -> Tally:
    tally, requests = Tally(), target.requests()
    connections = [await _connect(target) for _ in range(clients)]
    begin = time.perf_counter()
    until = begin + seconds
    left = clients
    finished = asyncio.get_running_loop().create_future()

    def ask(connection: _Connection, number: int) -> None:
        sent = time.perf_counter()

        def done(answer: bytes) -> None:
            nonlocal left
            now = time.perf_counter()
            _note(tally, answer, now - sent)
            if answer and now < until:
                ask(connection, number + clients)
                return
            left -= 1
            if not left:
                finished.set_result(None)

        connection.send(requests[number % len(requests)], done)

    for number, connection in enumerate(connections):
        ask(connection, number)
    await finished
    tally.wall = time.perf_counter() - begin
    for connection in connections:
        connection.close()
    return tally


async def _at_rate(target: Target, rate: float, seconds: float) -> Tally:
    tally, requests = Tally(), target.requests()
    free = [await _connect(target) for _ in range(4)]
    everyone = list(free)
    total = max(1, int(rate * seconds))
    left = total
    finished = asyncio.get_running_loop().create_future()
    begin = time.perf_counter() + 0.05

    def back(answer: bytes, planned: float, connection: _Connection | None) -> None:
        nonlocal left
        _note(tally, answer, time.perf_counter() - planned)
        if answer and connection is not None:
            free.append(connection)
        left -= 1
        if not left and not finished.done():
            finished.set_result(None)

    def send(connection: _Connection, number: int, planned: float) -> None:
        connection.send(requests[number % len(requests)], lambda answer: back(answer, planned, connection))

    async def connect_and_send(number: int, planned: float) -> None:
        try:
            connection = await _connect(target)
        except OSError:
            back(b"", planned, None)
            return
        everyone.append(connection)
        send(connection, number, planned)

    opening: set[asyncio.Task[None]] = set()
    for number in range(total):
        planned = begin + number / rate
        await _until(planned)
        if free:
            send(free.pop(), number, planned)
        elif len(everyone) + len(opening) < MOST_CONNECTIONS:
            task = asyncio.ensure_future(connect_and_send(number, planned))
            opening.add(task)
            task.add_done_callback(opening.discard)
        else:
            back(b"", planned, None)
    await asyncio.wait([finished], timeout=DRAIN_SECONDS)
    tally.failed += left
    tally.wall = time.perf_counter() - begin
    for connection in everyone:
        connection.close()
    return tally


async def _until(planned: float) -> None:
    while (left := planned - time.perf_counter()) > 0:
        await asyncio.sleep(max(0.0, left - SPIN_SECONDS))


def _run(what: Coroutine[Any, Any, Tally]) -> Tally:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(what)


def rank_bodies(items: Sequence[str], candidates: int, users: Sequence[str], count: int, seed: int) -> list[bytes]:
    """Bodies of `POST /v1/rank`: random candidates, users in turn."""
    import random

    draw = random.Random(seed)
    return [
        json.dumps({"user_id": users[number % len(users)], "candidates": draw.sample(items, candidates)}).encode()
        for number in range(count)
    ]
