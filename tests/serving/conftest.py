"""A real server process on free ports, started in a second; httpx and kserve's own clients talk to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 180


@dataclass
class Server:
    """A server on a workspace; `restart` starts it again on what it left."""

    workspace: Path
    settings: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ("-m", "tests.serving.dummy")
    option: str = ""
    """How the command takes a configuration key; empty for the dummy, which wants the workspace first."""
    process: subprocess.Popen[str] | None = None
    said: dict[str, Any] = field(default_factory=dict)

    def start(self) -> Server:
        self.workspace.mkdir(parents=True, exist_ok=True)
        self.process = self.launch()
        announcement = self.workspace / "server.json"
        deadline = time.monotonic() + START_SECONDS
        while not announcement.exists():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        self.said = json.loads(announcement.read_text())
        return self

    def launch(self) -> subprocess.Popen[str]:
        keys = ("serving.http_port=0", "serving.grpc_port=0", *self.settings)
        if self.option:
            keys = (f"workspace={self.workspace}", *keys)
            arguments = [word for key in keys for word in (self.option, key)]
        else:
            arguments = [str(self.workspace), *keys]
        return subprocess.Popen(
            [sys.executable, *self.command, *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def url(self) -> str:
        return str(self.said["url"])

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, **options)

    def output(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def kill(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(30)
        if number == signal.SIGKILL:
            (self.workspace / "server.json").unlink()
        return code

    def clean(self) -> None:
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Makes servers (not yet started), and ends them all."""
    made: list[Server] = []

    def make(*settings: str, **options: Any) -> Server:
        made.append(Server(tmp_path_factory.mktemp("server") / "ws", settings, **options))
        return made[-1]

    yield make
    for server in made:
        server.clean()


@pytest.fixture(scope="module")
def server(servers: Callable[..., Server]) -> Server:
    """One running server for the tests of a module."""
    return servers("serving.max_candidates=50", "serving.max_body_bytes=20000").start()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def click(number: int, user: str = "u", item: str = "a") -> dict[str, Any]:
    return {
        "event_id": f"{user}-{number}",
        "user_id": user,
        "item_id": item,
        "type": "click",
        "timestamp": f"2026-03-01T12:00:{number % 60:02d}Z",
    }


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [line["item_id"] for line in answer.json()["ranking"]]
