"""Tokens with scopes and rates, and the headers that each answer bears."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from liverank.config import ServingConfig
from liverank.config.access import RateConfig
from liverank.errors import ServingError
from serving.access import Access, TokenBucket, access, scope_of
from tests.serving.conftest import ROOT, Server

TOKENS = {"LIVERANK_TOKEN": "all", "TOKEN_WEB": "web", "TOKEN_LOG": "log", "TOKEN_OPS": "ops", "TOKEN_SLOW": "slow"}
SETTINGS = (
    'serving.tokens={"web": {"variable": "TOKEN_WEB", "scopes": ["rank", "events"]}, '
    '"log": {"variable": "TOKEN_LOG", "scopes": ["events"]}, '
    '"ops": {"variable": "TOKEN_OPS", "scopes": ["admin"]}, '
    '"slow": {"variable": "TOKEN_SLOW", "scopes": ["rank"], "rate": {"per_second": 0.01, "burst": 3}}}',
)
RANK = {"user_id": "u", "candidates": ["a", "b"]}
INFER = {
    "inputs": [
        {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["u"]},
        {"name": "candidates", "shape": [1], "datatype": "BYTES", "data": ["a"]},
    ]
}
DOORS = [
    ("rank", "POST", "/v1/rank", RANK),
    ("rank", "POST", "/rerank", {"query": "q", "documents": ["a"]}),
    ("rank", "POST", "/v1/rerank", {"query": "q", "documents": ["a"]}),
    ("rank", "POST", "/v2/rerank", {"query": "q", "documents": ["a"]}),
    ("rank", "POST", "/v1/models/liverank:predict", {"instances": [RANK]}),
    ("rank", "POST", "/v2/models/liverank/infer", INFER),
    ("events", "POST", "/v1/events", []),
    ("admin", "PUT", "/v1/items", []),
    ("admin", "GET", "/v1/users/u", None),
    ("admin", "DELETE", "/v1/users/u", None),
    ("admin", "POST", "/v2/repository/models/liverank/load", None),
]
SCOPES = {"all": {"rank", "events", "admin"}, "web": {"rank", "events"}, "log": {"events"}, "ops": {"admin"}}
GRPC = """
import asyncio, json, sys
import grpc
from kserve import InferenceGRPCClient, InferInput, InferRequest

async def main():
    client = InferenceGRPCClient(sys.argv[1], timeout=10, channel_args=[("grpc.enable_retries", 0)])
    request = InferRequest("liverank", [InferInput("user_id", [1], "BYTES", data=[b"u"]),
                                        InferInput("candidates", [1], "BYTES", data=[b"a"])])
    said = []
    for token in sys.argv[2:]:
        try:
            said.append((await client.infer(request, headers=(("authorization", "Bearer " + token),))).outputs[0].name)
        except grpc.RpcError as problem:
            said.append([problem.code().name, problem.details(), dict(problem.trailing_metadata()).get("retry-after")])
    print(json.dumps(said))
    await client.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def guarded(servers: Callable[..., Server]) -> Server:
    return servers(*SETTINGS, environment=TOKENS).start()


@pytest.mark.parametrize(("scope", "method", "path", "body"), DOORS)
@pytest.mark.parametrize("token", sorted(SCOPES))
def test_a_token_opens_what_its_scopes_say(
    guarded: Server, token: str, scope: str, method: str, path: str, body: object
) -> None:
    with guarded.client(headers={"authorization": f"Bearer {token}"}) as client:
        answer = client.request(method, path, json=body)
    if scope in SCOPES[token]:
        assert answer.status_code in (200, 202), answer.text
    else:
        assert answer.status_code == 403
        assert f"'{scope}'" in answer.json()["error"]
        assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_the_schemes_name_is_the_same_in_any_case(guarded: Server, scheme: str) -> None:
    with guarded.client(headers={"authorization": f"{scheme} all"}) as client:
        assert client.post("/v1/rank", json=RANK).status_code == 200
    with guarded.client(headers={"authorization": f"{scheme}s all"}) as client:
        assert client.post("/v1/rank", json=RANK).status_code == 401


def test_an_unknown_door_needs_admin_and_the_document_any_token(guarded: Server) -> None:
    for token, status in (("web", 403), ("ops", 404)):
        with guarded.client(headers={"authorization": f"Bearer {token}"}) as client:
            assert client.get("/nowhere").status_code == status
            assert client.get("/openapi.json").status_code == 200


def test_items_need_admin_among_events_too(guarded: Server) -> None:
    for token, status in (("log", 403), ("all", 202)):
        with guarded.client(headers={"authorization": f"Bearer {token}"}) as client:
            answer = client.post("/v1/events", json={"record": "item", "item_id": "sneaked"})
            assert answer.status_code == status
            assert (status == 202) != ("'admin'" in answer.text)
            assert client.post("/v1/events", json={"record": "user", "user_id": "u"}).status_code == 202


def test_grpc_asks_for_the_scope_too(guarded: Server) -> None:
    command = [sys.executable, "-c", GRPC, guarded.said["grpc"], "web", "log", "nobody's"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    opened, refused, unknown = json.loads(done.stdout)
    assert opened == "item_id"
    assert refused[0] == "PERMISSION_DENIED"
    assert "'rank'" in refused[1]
    assert unknown[:2] == [
        "UNAUTHENTICATED",
        "This server needs the metadata authorization: Bearer <token>, with the right token.",
    ]


def test_a_rate_is_kept_over_all_doors_and_counted(guarded: Server) -> None:
    with guarded.client(headers={"authorization": "Bearer slow"}) as client:
        assert client.post("/v1/users/u").status_code == 403, "what is refused anyway takes nothing"
        assert [client.post("/v1/rank", json=RANK).status_code for _ in range(2)] == [200, 200]
        command = [sys.executable, "-c", GRPC, guarded.said["grpc"], "slow", "slow"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        opened, (code, _, wait) = json.loads(done.stdout)
        assert (opened, code) == ("item_id", "RESOURCE_EXHAUSTED")
        assert 0 < int(wait) <= 100
        answer = client.post("/v1/models/liverank:predict", json={"instances": [RANK]})
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 100
        assert "rate" in answer.json()["error"]
        metrics = client.get("/metrics").text
    assert 'liverank_rate_limited_total{token="slow"} 2.0' in metrics
    assert 'liverank_requests_total{route="over rate",status="429"} 2.0' in metrics
    assert 'liverank_requests_total{route="without scope",status="403"}' in metrics
    with guarded.client(headers={"authorization": "Bearer web"}) as client:
        assert client.post("/v1/rank", json=RANK).status_code == 200, "each token has a rate of its own"


def test_a_bucket_fills_as_time_goes_by() -> None:
    now = [0.0]
    bucket = TokenBucket(RateConfig(per_second=2, burst=3), lambda: now[0])
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]
    now[0] = 0.25
    assert bucket.take() == 0.25
    now[0] = 0.5
    assert [bucket.take(), bucket.take()] == [0, 0.5]
    now[0] = 100
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5], "no more than the burst is saved up"


def test_without_tokens_nobody_is_limited(servers: Callable[..., Server]) -> None:
    server = servers("serving.rate.per_second=0.001", "serving.rate.burst=1").start()
    with server.client() as client:
        assert {client.post("/v1/rank", json=RANK).status_code for _ in range(5)} == {200}
    server.kill()


def test_the_rate_holds_for_the_token_that_opens_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVERANK_TOKEN", "secret")
    tokens = access(ServingConfig(rate=RateConfig(per_second=0.001, burst=1)))
    assert tokens.denied(b"Bearer secret", "rank") is None
    denied = tokens.denied(b"Bearer secret", "rank")
    assert denied is not None
    assert denied.status == 429
    assert 0 < int(denied.headers["Retry-After"]) <= 1000


@pytest.mark.parametrize(
    "given", [b"", b"Bearer", b"Bearer ", b"Bearer secre", b"Bearer secrets", "Bearer sécret".encode(), b"secret"]
)
def test_a_token_is_compared_whole(monkeypatch: pytest.MonkeyPatch, given: bytes) -> None:
    monkeypatch.setenv("LIVERANK_TOKEN", "secret")
    tokens = access(ServingConfig())
    denied = tokens.denied(given, "rank")
    assert denied is not None
    assert denied.status == 401


def test_a_missing_or_repeated_token_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    named = ServingConfig.model_validate({"tokens": {"web": {"variable": "TOKEN_WEB", "scopes": ["rank"]}}})
    monkeypatch.delenv("TOKEN_WEB", raising=False)
    with pytest.raises(ServingError, match=r"TOKEN_WEB has no token \(serving\.tokens\.web\)"):
        access(named)
    monkeypatch.setenv("TOKEN_WEB", "same")
    monkeypatch.delenv("LIVERANK_TOKEN", raising=False)
    assert access(named)
    monkeypatch.setenv("LIVERANK_TOKEN", "same")
    with pytest.raises(ServingError, match="same word"):
        access(named)


def test_a_token_is_not_in_what_a_program_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVERANK_TOKEN", "secret")
    assert "secret" not in repr(vars(access(ServingConfig())))


def test_no_tokens_no_access() -> None:
    assert not Access(())
    assert scope_of("POST", "/v1/rank/") == "admin", "only the very path"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/rank", 200),
        ("POST", "/v1/rank", 401),
        ("GET", "/v1/users/u", 200),
        ("GET", "/v1/users/u", 401),
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/rank", 405),
        ("GET", "/metrics", 200),
        ("GET", "/v2/models/liverank/ready", 200),
        ("POST", "/v1/models/liverank:predict", 400),
    ],
)
def test_every_answer_bears_the_headers(guarded: Server, method: str, path: str, status: int) -> None:
    headers = {} if status == 401 else {"authorization": "Bearer all"}
    with guarded.client(headers=headers) as client:
        answer = client.request(method, path, json=None if status == 400 else RANK)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "server" not in answer.headers


def test_two_thousand_candidates_are_ranked(guarded: Server) -> None:
    with guarded.client(headers={"authorization": "Bearer all"}) as client:
        candidates = [f"item-{number}" for number in range(2001)]
        answer = client.post("/v1/rank", json={"user_id": "u", "candidates": candidates[:2000]})
        assert answer.status_code == 200
        assert sorted(line["item_id"] for line in answer.json()["ranking"]) == sorted(candidates[:2000])
        answer = client.post("/v1/rank", json={"user_id": "u", "candidates": candidates})
        assert (answer.status_code, "2000 candidates" in answer.text) == (400, True)


def test_a_long_text_is_refused_by_its_index(servers: Callable[..., Server]) -> None:
    server = servers("serving.max_text_characters=10").start()
    fits, long = {"item_id": "x", "text": "物" * 6, "category": "four"}, {"item_id": "y", "text": "eleven char"}
    with server.client() as client:
        assert client.post("/v1/rank", json={"user_id": "u", "candidates": [fits]}).status_code == 200
        for path, body in (
            ("/v1/rank", {"user_id": "u", "candidates": ["a", fits, long]}),
            ("/v1/models/liverank:predict", {"instances": [{"user_id": "u", "candidates": ["a", fits, long]}]}),
        ):
            answer = client.post(path, json=body)
            assert (answer.status_code, "candidates[2]" in answer.text) == (400, True)
        answer = client.post("/v2/rerank", json={"query": "q", "documents": ["same", "same", "eleven char"]})
        assert (answer.status_code, "documents[2]" in answer.text) == (400, True)
        answer = client.post("/v2/rerank", json={"query": "eleven char", "documents": ["same"]})
        assert (answer.status_code, "query" in answer.text) == (400, True)
    server.kill()


def test_rates_and_many_callers_at_once(servers: Callable[..., Server]) -> None:
    server = servers(
        "serving.rate.per_second=0.001", "serving.rate.burst=20", environment={"LIVERANK_TOKEN": "all"}
    ).start()
    statuses: list[int] = []

    def call() -> None:
        with server.client(headers={"authorization": "Bearer all"}) as client:
            statuses.extend(client.post("/v1/rank", json=RANK).status_code for _ in range(10))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(200), statuses.count(429)) == (20, 20)
    server.kill()
