"""The model server as the demo runs it: `liverank serve` in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from liverank.errors import ServingError

START_SECONDS = 180
STOP_SECONDS = 20


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def model_server(config_file: Path, model: str, log: Path) -> Iterator[str]:
    """Starts the server on the champion, yields its URL once the model is ready, and stops it.

    Raises:
        ServingError: the server ended or was not ready in time; names its log.
    """
    http, grpc = free_port(), free_port()
    ports = ["--set", f"serving.http_port={http}", "--set", f"serving.grpc_port={grpc}"]
    command = [sys.executable, "-m", "liverank.cli", "serve", "--config", str(config_file), *ports]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{http}"
        _wait_until_ready(process, f"{url}/v2/models/{model}/ready", log)
        yield url
    finally:
        stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], probe: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServingError(f"The model server ended with code {process.returncode}.", f"Its log is {log}.")
        try:
            if httpx.get(probe, timeout=2).is_success:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    raise ServingError(f"The model server was not ready within {START_SECONDS} s.", f"Its log is {log}.")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the server's process group: SIGTERM, and SIGKILL for what has not ended after that."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
