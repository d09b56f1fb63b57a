"""A real redis-server for tests, from Debian's package of that name."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from liverank.config import StoreConfig

PATIENT = StoreConfig(read_timeout_ms=10_000, write_timeout_ms=30_000)
"""For tests that are not about time, on machines that are busy."""
START_SECONDS = 30
DATABASES = 4096


@dataclass
class RedisServer:
    """A server on a port of its own that syncs each write to disk; `start` after `kill` takes up what is there."""

    folder: Path
    options: tuple[str, ...] = ("--appendonly", "yes", "--appendfsync", "always")
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    taken: dict[Path, int] = field(default_factory=dict)

    def start(self) -> RedisServer:
        self.port = self.port or free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        words += ["--databases", str(DATABASES), "--logfile", str(self.folder / "log"), *self.options]
        self.process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "redis-server does not start"
            time.sleep(0.02)
        return self

    def answers(self) -> bool:
        """Whether it is up and has read its file; by hand, so that no client's own patience is in it."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            # With a password set it refuses, which is an answer too.
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def url(self, folder: Path | None = None) -> str:
        """The URL of a database, one for each folder."""
        number = 0 if folder is None else self.taken.setdefault(folder, len(self.taken) + 1)
        return f"redis://127.0.0.1:{self.port}/{number}"

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(30)

    def files(self) -> Iterator[bytes]:
        """What is in its files."""
        for folder, _, names in os.walk(self.folder):
            yield from ((Path(folder) / name).read_bytes() for name in names)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server: install Debian's package redis-server")
    server = RedisServer(folder, options) if options else RedisServer(folder)
    try:
        yield server.start()
    finally:
        if server.process is not None:
            server.process.kill()
            server.process.wait(30)


def raw(store: Any) -> Any:
    """redis-py's client under a store."""
    return store._link._client
