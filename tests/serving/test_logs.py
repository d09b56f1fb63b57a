"""Request ids in answers and logs, JSON lines, and access lines that hold nothing of what was asked."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as services

from serving.calls import REQUEST_ID, Parent, call_of, concerning
from serving.logs import JsonLines, TextLines
from tests.serving.conftest import ROOT, Server

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
MADE = re.compile("[0-9a-f]{32}")
POISON = {"user_id": "anna.private", "candidates": ["poison", {"item_id": "x", "text": "private words"}]}


@pytest.mark.parametrize(
    ("given", "parent", "expected"),
    [
        (b"order-17:a/b", b"", "order-17:a/b"),
        (b"order-17", TRACEPARENT.encode(), "order-17"),
        (b"", TRACEPARENT.encode(), TRACE),
        (b"a" * 128, b"", "a" * 128),
        (b"a" * 129, b"", None),
        (b"two words", b"", None),
        (b"line\nbreak", b"", None),
        ("größe".encode(), b"", None),
        (b"two words", TRACEPARENT.encode(), TRACE),
        (b"", b"", None),
        (b"", TRACEPARENT.upper().encode(), None),
        (b"", f"{TRACEPARENT}-more".encode(), None),
        (b"", f"01-{TRACE}-{SPAN}-01-more".encode(), TRACE),
        (b"", f"ff-{TRACE}-{SPAN}-01".encode(), None),
        (b"", f"00-{'0' * 32}-{SPAN}-01".encode(), None),
        (b"", f"00-{TRACE}-{'0' * 16}-01".encode(), None),
    ],
)
def test_whose_id_a_request_gets(given: bytes, parent: bytes, expected: str | None) -> None:
    found = call_of(given, parent, traced=False).request_id
    assert found == expected if expected else MADE.fullmatch(found)


def test_the_callers_span() -> None:
    assert call_of(b"", TRACEPARENT.encode(), traced=True).parent == Parent(TRACE, SPAN, True)
    assert call_of(b"", f"00-{TRACE}-{SPAN}-02".encode(), traced=True).parent == Parent(TRACE, SPAN, False)
    assert call_of(b"", b"nonsense", traced=True).parent is None


def test_every_answer_names_its_request(client: httpx.Client) -> None:
    body = {"user_id": "u", "candidates": ["a"]}
    for answer in (
        client.post("/v1/rank", json=body, headers={"x-request-id": "mine"}),
        client.post("/v1/rank", json={}, headers={"x-request-id": "mine"}),
        client.post("/v1/models/liverank:predict", json={"instances": [body]}, headers={"x-request-id": "mine"}),
        client.get("/nowhere", headers={"x-request-id": "mine"}),
        client.get("/v2/health/live", headers={"x-request-id": "mine"}),
        client.post("/v1/rank", content=b" " * 30_000, headers={"x-request-id": "mine"}),
        client.post("/v1/rank", json=body, headers={"x-request-id": "mine", "origin": "http://elsewhere.example"}),
    ):
        assert answer.headers.get_list("x-request-id") == ["mine"]
    first, second = (client.post("/v1/rank", json=body).headers["x-request-id"] for _ in range(2))
    assert MADE.fullmatch(first)
    assert first != second


def test_grpc_takes_and_gives_ids_too(server: Server) -> None:
    async def ask(*metadata: tuple[str, str]) -> dict[str, str]:
        async with grpc.aio.insecure_channel(server.said["grpc"]) as channel:
            call = services.GRPCInferenceServiceStub(channel).ServerLive(
                messages.ServerLiveRequest(), metadata=metadata, timeout=30
            )
            given = dict(await call.initial_metadata())
            await call
            return given

    assert asyncio.run(ask(("x-request-id", "mine")))["x-request-id"] == "mine"
    assert asyncio.run(ask(("traceparent", TRACEPARENT)))["x-request-id"] == TRACE


@pytest.fixture(scope="module")
def json_log(servers: Callable[..., Server]) -> list[dict[str, Any]]:
    """All that a server with JSON lines and access lines wrote, while requests of all kinds came and some failed."""
    server = servers("serving.log_format=json", "serving.access_log=true").start()
    with server.client() as client:
        client.put("/v1/items", json={"item_id": "item-private", "text": "private words"})
        client.get("/v1/users/anna.private")
        client.get("/v1/users/anna.private/nowhere")
        client.get("/nowhere/anna.private")
        client.get("/v2/health/live")
        client.post("/v1/rank", json=POISON, headers={"x-request-id": "poisoned"})
        client.post("/v1/rank", json={"user_id": "anna.private"}, headers={"x-request-id": "refused"})
        client.patch("/v1/rank", headers={"x-request-id": "patched"})
        client.post("/v1/models/liverank:predict", json={"instances": [POISON]}, headers={"traceparent": TRACEPARENT})
    asyncio.run(_poison_over_grpc(server.said["grpc"]))
    with server.client() as client:
        encoding = {"user_id": "anna.private", "candidates": [{"item_id": "y", "text": "crash in the encoder private"}]}
        client.post("/v1/rank", json=encoding, headers={"x-request-id": "encoded"})
    server.kill()
    return [json.loads(line) for line in server.output().splitlines()]


async def _poison_over_grpc(address: str) -> None:
    def tensor(name: str, *values: bytes) -> Any:
        data = messages.InferTensorContents(bytes_contents=values)
        return messages.ModelInferRequest.InferInputTensor(
            name=name, datatype="BYTES", shape=[len(values)], contents=data
        )

    inputs = [tensor("user_id", b"anna.private"), tensor("candidates", b"poison", b"b")]
    async with grpc.aio.insecure_channel(address) as channel:
        await services.GRPCInferenceServiceStub(channel).ModelInfer(
            messages.ModelInferRequest(model_name="liverank", inputs=inputs),
            metadata=(("x-request-id", "by-grpc"),),
            timeout=30,
        )


def test_each_line_is_an_object_without_content(json_log: list[dict[str, Any]]) -> None:
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in json_log)
    assert "private" not in json.dumps(json_log)


def test_each_call_has_its_access_line(json_log: list[dict[str, Any]]) -> None:
    lines = [line for line in json_log if line["logger"] == "serving.access_log"]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("PUT /v1/items", 200),
        ("GET /v1/users/{user_id}", 200),
        ("GET /v1/users/{user_id}", 200),
        ("other", 404),
        ("GET /v2/health/live", 200),
        ("POST /v1/rank", 200),
        ("POST /v1/rank", 400),
        ("other", 405),
        ("v1 :predict", 200),
        ("v2 infer", 200),
        ("POST /v1/rank", 200),
    ]
    assert [line["request_id"] for line in lines[5:]] == ["poisoned", "refused", "patched", TRACE, "by-grpc", "encoded"]
    assert all(MADE.fullmatch(line["request_id"]) for line in lines[:5])
    assert all(line["ms"] > 0 for line in lines)


def test_refused_calls_of_grpc_have_the_status_of_their_code(servers: Callable[..., Server]) -> None:
    server = servers("serving.log_format=json", "serving.access_log=true").start()

    async def ask() -> None:
        async with grpc.aio.insecure_channel(server.said["grpc"]) as channel:
            stub = services.GRPCInferenceServiceStub(channel)
            for call, message in (
                (stub.ModelInfer, messages.ModelInferRequest(model_name="nobody")),
                (stub.RepositoryModelLoad, messages.RepositoryModelLoadRequest(model_name="liverank")),
                (stub.ModelInfer, messages.ModelInferRequest(model_name="liverank")),
                (stub.ServerLive, messages.ServerLiveRequest()),
            ):
                with suppress(grpc.RpcError):
                    await call(message, timeout=30)

    asyncio.run(ask())
    server.kill()
    told = [json.loads(line) for line in server.output().splitlines()]
    lines = [line for line in told if line["logger"] == "serving.access_log"]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("gRPC ModelInfer", 404),
        ("gRPC RepositoryModelLoad", 403),
        ("v2 infer", 400),
        ("gRPC ServerLive", 200),
    ]


def test_lines_of_errors_name_the_request(json_log: list[dict[str, Any]]) -> None:
    failed = [line for line in json_log if line["message"].startswith("The model failed on a list")]
    assert [line["request_id"] for line in failed] == ["poisoned", TRACE, "by-grpc"]
    assert all(line["trace"].endswith("ValueError") for line in failed)
    (encoder,) = [line for line in json_log if line["message"].startswith("1 texts cannot be encoded")]
    assert encoder["request_id"] == "encoded"


def test_a_failure_beyond_the_routes_names_its_request_in_text_too(servers: Callable[..., Server]) -> None:
    server = servers('serving.surfaces={"home": {"diversity": {"method": "mmr"}}}').start()
    failing = {
        "user_id": "u",
        "candidates": [{"item_id": "x", "text": "crash"}, "b"],
        "surface": "home",
    }
    with server.client() as client:
        assert client.post("/v1/rank", json=failing, headers={"x-request-id": "one"}).status_code == 500
        predict = client.post(
            "/v1/models/liverank:predict", json={"instances": [failing]}, headers={"x-request-id": "two"}
        )
        assert (predict.status_code, predict.headers["x-request-id"]) == (500, "two")
    server.kill()
    heads = [line for line in server.output().splitlines() if "[request " in line]
    assert any("ERROR serving.refusals: POST /v1/rank failed [request one]" in line for line in heads)
    assert any("Exception in ASGI application" in line and line.endswith("[request two]") for line in heads)
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ ", line) for line in heads)
    assert not any("serving.access_log" in line for line in heads)


@pytest.fixture
def record() -> Iterator[logging.LogRecord]:
    with concerning(["a", "", "b"]):
        yield logging.LogRecord("serving.x", logging.WARNING, "x.py", 1, "%s\nover two lines", ("物",), None)
    assert REQUEST_ID.get() == ""


def test_one_record_is_one_line_of_json(record: logging.LogRecord) -> None:
    line = JsonLines().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert told.pop("time").endswith("Z")
    assert told == {"level": "WARNING", "logger": "serving.x", "message": "物\nover two lines", "request_id": "a,b"}
    assert TextLines().format(record).endswith("WARNING serving.x: 物\nover two lines [request a,b]")


def test_liverank_serve_says_what_it_does_in_the_form_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from liverank.cli import main; main()", "serve", "--bundle", str(tmp_path)]
    keys = ["serving.http_port=0", "serving.grpc_port=0"]

    def own(form: str) -> tuple[str, str]:
        return f"workspace={tmp_path / form}", f"serving.log_format={form}"

    said = {
        form: subprocess.run(
            [*command, *(word for key in [*keys, *own(form)] for word in ("--set", key))],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for form in ("text", "json", "yaml")
    }
    assert [said[form].returncode for form in said] == [2, 2, 2]
    assert "Loading the model ..." in said["text"].stderr
    *records, error = said["json"].stderr.splitlines()
    assert error.startswith("Error: ")
    assert [json.loads(line)["message"] for line in records] == [
        "The live store is new; `liverank backfill` fills it with what users did before.",
        "Loading the model ...",
    ]
    assert "log_format" in said["yaml"].stderr
