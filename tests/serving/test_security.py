from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest

from liverank.config import ServingConfig
from liverank.errors import ServingError
from serving.security import holds_token, is_loopback, required_token
from tests.serving.conftest import ROOT, Server

GRPC = """
import asyncio, json, sys
import grpc
from kserve import InferenceGRPCClient, InferInput, InferRequest

async def main():
    client = InferenceGRPCClient(sys.argv[1], timeout=10, channel_args=[("grpc.enable_retries", 0)])
    request = InferRequest("liverank", [InferInput("user_id", [1], "BYTES", data=[b"u"]),
                                        InferInput("candidates", [1], "BYTES", data=[b"a"])])
    said = [await client.is_model_ready("liverank")]
    for headers in ((), (("authorization", "Bearer wrong"),), (("authorization", "Bearer secret"),)):
        try:
            said.append((await client.infer(request, headers=headers)).outputs[0].name)
        except grpc.RpcError as problem:
            said.append(problem.code().name)
    print(json.dumps(said))
    await client.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def guarded(servers: Callable[..., Server]) -> Server:
    return servers(environment={"LIVERANK_TOKEN": "secret"}).start()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/rank"),
        ("POST", "/v1/events"),
        ("PUT", "/v1/items"),
        ("GET", "/v1/users/u"),
        ("DELETE", "/v1/users/u"),
        ("POST", "/v1/models/liverank:predict"),
        ("POST", "/v2/models/liverank/infer"),
        ("POST", "/v2/repository/models/liverank/load"),
        ("POST", "/v2/rerank"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
    ],
)
def test_every_door_asks_for_the_token(guarded: Server, method: str, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}, {"authorization": "Bearer"}):
        with guarded.client(headers=headers) as client:
            answer = client.request(method, path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "Bearer" in answer.json()["error"]


def test_probes_and_metrics_are_open(guarded: Server) -> None:
    with guarded.client() as client:
        assert client.post("/v1/rank").status_code == 401
        for path in ("/", "/metrics", "/v2/health/live", "/v2/health/ready", "/v2/models/liverank/ready"):
            assert client.get(path).status_code == 200
        assert 'liverank_requests_total{route="without token",status="401"}' in client.get("/metrics").text


def test_the_token_opens(guarded: Server) -> None:
    with guarded.client(headers={"authorization": "Bearer secret"}) as client:
        assert client.post("/v1/rank", json={"user_id": "u", "candidates": ["a"]}).status_code == 200
        assert client.post("/v2/repository/models/liverank/load").status_code == 200


def test_grpc_asks_too(guarded: Server) -> None:
    command = [sys.executable, "-c", GRPC, guarded.said["grpc"]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, "UNAUTHENTICATED", "UNAUTHENTICATED", "item_id"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:9999"}, 200),
        ({"host": "[::1]:8080"}, 200),
        ({"host": "LOCALHOST"}, 200),
        ({"origin": "http://localhost:3000"}, 200),
        ({"origin": "http://[::1]"}, 200),
        ({"host": "rebound.example:8080"}, 403),
        ({"host": "127.0.0.1.example"}, 403),
        ({"host": "127.0.0.1@rebound.example"}, 403),
        ({"host": ""}, 403),
        ({"host": "["}, 403),
        ({"origin": "https://page.example"}, 403),
        ({"origin": "http://localhost.page.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_without_a_token_no_page_of_another_site_gets_in(
    client: httpx.Client, headers: dict[str, str], status: int
) -> None:
    assert client.get("/v1/users/u", headers=headers).status_code == status
    body = {"user_id": "u", "candidates": ["a"]}
    answers = [
        client.post("/v1/rank", json=body, headers=headers),
        client.post("/v1/models/liverank:predict", content=json.dumps({"instances": [body]}), headers=headers),
        client.post("/v2/repository/models/liverank/load", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [status] * 3
    assert status == 200 or "only requests for localhost" in answers[0].json()["error"]
    for path in ("/", "/metrics", "/v2/models/liverank/ready"):
        assert client.get(path, headers=headers).status_code == 200


def test_with_a_token_the_host_has_any_name(guarded: Server) -> None:
    with guarded.client(headers={"authorization": "Bearer secret", "host": "ranker.example"}) as client:
        assert client.post("/v1/rank", json={"user_id": "u", "candidates": ["a"]}).status_code == 200


def test_no_token_only_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVERANK_TOKEN", raising=False)
    assert required_token(ServingConfig()) == ""
    with pytest.raises(ServingError, match=r"0\.0\.0\.0 needs a token.*LIVERANK_TOKEN"):
        required_token(ServingConfig(host="0.0.0.0"))
    monkeypatch.setenv("LIVERANK_TOKEN", "secret")
    assert required_token(ServingConfig(host="0.0.0.0")) == "secret"


def test_an_open_address_without_a_token_ends_the_start(servers: Callable[..., Server]) -> None:
    server = servers("serving.host=0.0.0.0")
    server.workspace.mkdir(parents=True)
    server.process = server.launch()
    assert server.process.wait(30) == 2
    assert "needs a token" in server.output()


def test_it_listens_where_it_was_told_only(guarded: Server) -> None:
    for port in (guarded.url.rpartition(":")[2], guarded.said["grpc"].rpartition(":")[2]):
        socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", int(port)), timeout=5)


def test_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "10.0.0.1", "::", "example.org")] == [False] * 4


def test_the_token_is_compared_whole() -> None:
    assert holds_token(b"Bearer secret", "secret")
    assert not holds_token(b"Bearer secre", "secret")
    assert not holds_token(b"Bearer secrets", "secret")
    assert not holds_token("Bearer sécret".encode(), "secret")
