"""The processes of the soak: a Redis and servers, which are ended and started again on what they left."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from benchmarks.read_your_writes import NoRedis
from liverank.cli.demo.server import free_port, stop

START_SECONDS = 180
DOWN_SECONDS = 2.0
"""How long a Redis stays away at least; a restart alone may be over before anybody has asked."""


class Redis:
    """A Redis as infra/overlays/redis asks for: append-only, synced at every write, nothing evicted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)

    @property
    def url(self) -> str:
        """Of its first database."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Starts it on its files, and returns once it has read them.

        Raises:
            NoRedis: there is none on this machine, or it does not start.
        """
        words = ["--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        words += ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]
        words += ["--logfile", str(self._folder / "log")]
        try:
            self._process = subprocess.Popen(["redis-server", *words], start_new_session=True)
        except FileNotFoundError:
            raise NoRedis("There is no redis-server: install Debian's package redis-server.") from None
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NoRedis("redis-server does not start.")
            time.sleep(0.05)

    def restart(self, number: int) -> None:
        """Ends it by a signal, and starts it again a moment later."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait()
        time.sleep(DOWN_SECONDS)
        self.start()

    def close(self) -> None:
        """Ends it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")  # and not -LOADING
        return False


class Replica:
    """A server process on the registry's champion, always at the same address."""

    def __init__(self, name: str, configuration: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = configuration.parent / "log"
        self._configuration = configuration
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._is_down = True
        self._back_at = 0.0

    @property
    def pid(self) -> int:
        """Of the present process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_down(self) -> bool:
        """Whether nobody can expect an answer now."""
        return self._is_down

    def was_down_since(self, instant: float) -> bool:
        """Whether it was down at any moment after an instant of `time.monotonic`."""
        return self._is_down or self._back_at >= instant

    def start(self) -> None:
        """Starts it and returns once it is ready.

        Raises:
            RuntimeError: it ended or is not ready in time; its output is the message.
        """
        ports = ["--http_port", self.url.rpartition(":")[2], "--grpc_port", "0"]
        command = [sys.executable, "-m", "serving", "--config", str(self._configuration), *ports]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env=self._environment, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start: {self.log.read_text()[-4000:]}")
            time.sleep(0.1)
        self._back_at, self._is_down = time.monotonic(), False

    def restart(self) -> None:
        """Kills it with SIGKILL and starts it again."""
        assert self._process is not None
        self._is_down = True
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.start()

    def close(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._is_down = True
            stop(self._process)

    def resident_mib(self) -> float:
        """Resident memory of the process, in MiB; 0 for one that is gone."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0.0
        found = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(found[0].split()[1]) / 1024 if found else 0.0

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v2/models/liverank/ready", timeout=2).is_success
        except httpx.TransportError:
            return False  # not listening yet
