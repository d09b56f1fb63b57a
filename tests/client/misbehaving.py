"""A little HTTP server that does, request after request, what it is told: also what no server should."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

Behaviour = Callable[[socket.socket], None]
RANKING = {"impression_id": "i", "model_version": "3", "ranking": [], "degraded": [], "timing_ms": {"total": 1.0}}


def answer(body: Any = RANKING, status: int = 200, **headers: str) -> Behaviour:
    """An answer as it should be; what is no bytes becomes JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Word", f"content-length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda connection: connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)


def breaks_off(connection: socket.socket) -> None:
    """Reads the request, and hangs up in the middle of the answer."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    connection.shutdown(socket.SHUT_RDWR)


def garbage(connection: socket.socket) -> None:
    """Says something that is not HTTP."""
    connection.sendall(b"\x00\x01 hello\r\n\r\n")
    connection.shutdown(socket.SHUT_RDWR)


def silence(connection: socket.socket) -> None:
    """Never answers; returns when the other side has gone."""
    with contextlib.suppress(OSError):
        connection.recv(1)


def trickle(connection: socket.socket) -> None:
    """A header line after the other, without an end: each of them comes in time."""
    with contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"x-more: y\r\n")
            time.sleep(0.005)


@dataclass
class Misbehaving:
    """Takes behaviours in turn, the last of them again and again."""

    behaviours: list[Behaviour]
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path and body, as they came."""
    at: list[float] = field(default_factory=list)
    """When they came, by `time.monotonic`."""
    connections: int = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection.makefile("rb") as lines:
            while request := lines.readline():
                method, path, _ = request.decode().split()
                headers = dict(iter(lambda: _header(lines.readline()), ("", "")))
                body = lines.read(int(headers.get("content-length", 0)))
                self.at.append(time.monotonic())
                self.requests.append((method, path, json.loads(body) if body else None))
                behaviour = self.behaviours[0] if len(self.behaviours) == 1 else self.behaviours.pop(0)
                behaviour(connection)


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode().strip().partition(":")
    return name.lower(), value.strip()
