"""Clients that send or read byte by byte: the others are answered meanwhile, and a server that stops does not wait."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import grpc
import pytest

from tests.serving.conftest import Server, click
from tests.serving.faults.conftest import SECONDS, Servers, rank

BODY = json.dumps({"user_id": "slow", "candidates": ["a", "b", "c"]}).encode()
HEAD = f"POST /v1/rank HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()
OTHERS = 50
SLOW = 30
"""Slow clients at once."""


@contextmanager
def connections(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Connections without any buffer to speak of on this side."""
    address = urlsplit(server.url)
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(SECONDS)
            connection.connect((address.hostname, address.port))
            made.append(connection)
        yield made


def others_are_answered(server: Server) -> None:
    with server.client() as client:
        for number in range(OTHERS):
            assert client.post("/v1/events", json=click(number)).status_code == 202
            assert rank(client).json()["degraded"] == []


def answer(connection: socket.socket) -> bytes:
    """All of an answer, whose connection is to be closed or whose length is told."""
    with connection.makefile("rb") as lines:
        head = list(iter(lambda: lines.readline().lower(), b"\r\n"))
        length = next(int(line.split(b":")[1]) for line in head if line.startswith(b"content-length"))
        return head[0] + lines.read(length)


@pytest.mark.parametrize("sent", [b"POST /v1/rank HT", HEAD, HEAD + BODY[:5]], ids=["line", "head", "half a body"])
def test_others_do_not_wait_for_a_request_that_comes_slowly(server: Server, sent: bytes) -> None:
    """While the slow requests are open, a whole run of others begins and ends."""
    with connections(server, SLOW) as slow:
        for connection in slow:
            connection.sendall(sent)
        others_are_answered(server)
        left = (HEAD + BODY)[len(sent) :]
        for at in range(len(left)):
            for connection in slow:
                connection.sendall(left[at : at + 1])
        for connection in slow:
            said = answer(connection)
            assert b" 200 " in said
            assert b'"impression_id"' in said


def test_callers_who_leave_are_nobodys_fault(servers: Servers) -> None:
    """Neither an error of the server's nor a traceback in its log."""
    server = servers("serving.access_log=true").start()
    whole = len(BODY)
    with connections(server, 3) as leaving:
        for connection, path in zip(leaving, ("/v1/rank", "/v1/events", "/v1/models/liverank:predict"), strict=True):
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {whole}\r\n\r\n"
            connection.sendall(head.encode() + BODY[:5])
    with server.client() as client:
        while 'liverank_requests_total{route="POST /v1/events",status="499"} 1.0' not in client.get("/metrics").text:
            pass
        told = client.get("/metrics").text
        assert 'liverank_requests_total{route="POST /v1/rank",status="499"} 1.0' in told
        assert rank(client).status_code == 200
    server.kill()
    said = server.output()
    assert "Traceback" not in said
    assert "POST /v1/events 499" in said


def test_bytes_that_are_no_message_of_grpc_leave_the_log_alone(servers: Servers) -> None:
    server = servers().start()
    with grpc.insecure_channel(server.said["grpc"]) as channel:
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        with pytest.raises(grpc.RpcError):
            live(b"\xff\xff", timeout=SECONDS)
        assert live(b"", timeout=SECONDS)
    server.kill()
    assert "Traceback" not in server.output()


def test_others_do_not_wait_for_an_answer_that_is_not_read(servers: Servers) -> None:
    server = servers().start()
    records = [{**click(number, "big"), "context": {"note": "x" * 1000}} for number in range(3000)]
    with server.client() as client:
        assert client.post("/v1/events", json=records).status_code == 202
        whole = client.get("/v1/users/big").content
    with connections(server, 5) as slow:
        for connection in slow:
            connection.sendall(b"GET /v1/users/big HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert connection.recv(1) == b"H"
        others_are_answered(server)
        for connection in slow:
            said = answer(connection)
            assert said.endswith(whole)
    with connections(server, 3) as gone:
        for connection in gone:
            connection.sendall(b"GET /v1/users/big HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert connection.recv(1) == b"H"
    # They went away in the middle of their answers.
    others_are_answered(server)
    assert server.kill() == 143
    assert "Traceback" not in server.output()


def test_a_server_that_stops_waits_for_nobody_longer_than_it_says(servers: Servers) -> None:
    server = servers("serving.drain_seconds=1").start()
    with connections(server, 3) as slow:
        for connection, sent in zip(slow, (b"POST /v1/", HEAD, HEAD + BODY[:5]), strict=True):
            connection.sendall(sent)
        others_are_answered(server)
        # Whoever waited for these would wait forever: `kill` gives up after half a minute.
        assert server.kill(signal.SIGTERM) == 143
