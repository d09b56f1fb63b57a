"""Ten thousand bad requests on every door, REST and gRPC: no answer of 500 and above, and the server is as before."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from serving.openapi import document
from tests.serving.conftest import Server, click, ids
from tests.serving.faults.bad_requests import bodies
from tests.serving.faults.conftest import SECONDS, rank

EACH = 30
"""Requests an example: making them all anew would take longer than answering."""
EXAMPLES = 20
LINES = 500
PLAIN = {
    "user_id": "u",
    "candidates": [
        {"item_id": "a", "score": 0.5},
        {"item_id": "b", "text": "tea", "attributes": {"brand": "x"}, "score": 1.5},
    ],
}
RULES = {"exclude": ["c"], "pin": [{"item_id": "a", "position": 1}], "caps": [{"attribute": "category", "most": 1}]}
RANK = {**PLAIN, "context": {"timestamp": "2026-03-01T12:00:00Z"}, "k": 2, "explain": True, "rules": RULES}
QUERY = {"query": "tea", "documents": ["a", {"text": "tea", "id": "b"}], "top_n": 1, "return_documents": True}
ITEM = {"item_id": "never", "title": "Tea", "attributes": {"brand": "x"}, "available_from": "2026-03-01T12:00:00Z"}
SHOWN = [{"item_id": "a", "position": 1, "score": 1.0, "propensity": 0.5}]
IMPRESSION = {"record": "impression", "impression_id": "i", "user_id": "u", "timestamp": "2026-03-01T12:00:00Z"}
TENSORS = {
    "id": "7",
    "inputs": [
        {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["u"]},
        {"name": "candidates", "shape": [2], "datatype": "BYTES", "data": ["a", "b"], "parameters": {"x": 1}},
    ],
    "parameters": {"k": 1},
    "outputs": [{"name": "item_id"}],
}
OURS = {
    "POST /v1/rank": RANK,
    **dict.fromkeys(("POST /rerank", "POST /v1/rerank", "POST /v2/rerank"), QUERY),
    "POST /v1/events": {"events": [click(1), {**IMPRESSION, "shown": SHOWN}, {"record": "user", "user_id": "u"}]},
    "PUT /v1/items": {"items": [ITEM]},
    "GET /v1/users/{user_id}": None,
    "DELETE /v1/users/{user_id}": None,
    "POST /v2/repository/models/{name}/load": {},
    "POST /v2/repository/models/{name}/unload": {},
}
KSERVE = {
    "POST /v1/models/{name}:predict": {"instances": [RANK]},
    "POST /v1/models/{name}:explain": {"instances": [PLAIN]},
    "POST /v2/models/{name}/infer": TENSORS,
    "POST /v2/models/{name}/versions/1/infer": TENSORS,
    "GET /v1/models/{name}": None,
    "GET /v2/models/{name}": None,
    "GET /v2/models/{name}/ready": None,
    "GET /v2/models/{name}/versions/{name}/ready": None,
    "POST /v2/repository/index": {"ready": True},
}
HEADERS = ("application/json", "application/octet-stream", "text/plain; charset=utf-16", "", "application/json; x")
METHODS = (
    "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer", "RepositoryModelLoad",
    "RepositoryModelUnload", "Nothing",
)  # fmt: skip
GRPC_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.PERMISSION_DENIED,
    # What gRPC itself says of bytes that are no message of the method's.
    grpc.StatusCode.UNKNOWN,
}
UNREADABLE = "Error parsing message with type"

many = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True,
    # The failing request is in the message; making it smaller would send thousands more.
    phases=[Phase.generate],
)  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def as_before(server: Server) -> Callable[[], None]:
    """Asks whether the server still does what it did."""
    with server.client() as client:
        assert client.post("/v1/events", json=[click(number, "before", "c") for number in range(3)]).status_code == 202

    def check() -> None:
        with server.client() as client:
            assert ids(rank(client, "before"))[0] == "c"
            assert client.get("/v2/models/liverank/ready").status_code == 200

    return check


def paths(template: str) -> st.SearchStrategy[str]:
    """The door with the model's name or any text in place of what is in braces."""
    name = st.just("liverank") | st.text(max_size=12).map(lambda text: quote(text, safe=""))
    parts = template.replace("}", "{").split("{")
    return st.tuples(*(name if at % 2 else st.just(part) for at, part in enumerate(parts))).map("".join)


def test_every_door_of_ours_is_tried() -> None:
    told = {
        f"{method.upper()} {path}"
        for path, item in document()["paths"].items()
        for method in item.keys() - {"parameters"}
    }
    assert told == OURS.keys()


@pytest.mark.parametrize("door", [*OURS, *KSERVE])
def test_no_bad_request_is_the_servers_fault(door: str, server: Server, as_before: Callable[[], None]) -> None:
    whole = {**OURS, **KSERVE}[door]
    method, template = door.split(" ")
    one = st.tuples(paths(template), st.sampled_from(HEADERS), bodies(whole))
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=SECONDS)

    @many
    @given(st.lists(one, min_size=EACH, max_size=EACH))
    def ask(requests: list[tuple[str, str, bytes]]) -> None:
        for path, kind, body in requests:
            connection.request(method, path, body if whole is not None else None, {"content-type": kind})
            answer = connection.getresponse()
            said = answer.read()
            # 501: KServe's, for explainers and versions, which this server has none of.
            named = answer.status == 501 and (":explain" in door or "versions" in door)
            refused = answer.status == 503 and answer.headers["retry-after"]
            assert answer.status < 500 or named or refused, (answer.status, path, body, said)

    ask()
    connection.close()
    as_before()


def test_no_bad_line_is_the_servers_fault(server: Server, as_before: Callable[[], None]) -> None:
    """What is no HTTP, or hardly any."""
    address = urlsplit(server.url)
    start = st.sampled_from(
        [b"", b"GET ", b"POST /v1/rank HTTP/1.1\r\n", b"POST /v1/rank HTTP/1.1\r\nhost: localhost\r\n"]
    )
    length = st.sampled_from(
        [b"", b"content-length: x\r\n", b"content-length: -1\r\n", b"transfer-encoding: chunked\r\n"]
    )

    @settings(many, max_examples=LINES)
    @given(start, length, st.binary(max_size=80), st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]))
    def ask(start: bytes, length: bytes, middle: bytes, end: bytes) -> None:
        with socket.create_connection((address.hostname, address.port), SECONDS) as connection:
            connection.sendall(start + length + middle + end)
            connection.shutdown(socket.SHUT_WR)
            said = b""
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(4096):
                    said += part
            assert not said or said.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4")), said

    ask()
    as_before()


def test_no_bad_call_is_the_servers_fault(server: Server, as_before: Callable[[], None]) -> None:
    """Messages of gRPC with bytes changed, cut off and added."""
    whole = message()
    with grpc.insecure_channel(str(server.said["grpc"])) as channel:
        calls = {
            name: channel.unary_unary(
                f"/inference.GRPCInferenceService/{name}", request_serializer=None, response_deserializer=None
            )
            for name in METHODS
        }

        @st.composite
        def bytes_of_a_call(draw: st.DrawFn) -> bytes:
            if draw(st.booleans()):
                return draw(st.binary(max_size=60))
            body = bytearray(whole)
            for _ in range(draw(st.integers(1, 4))):
                body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
            return bytes(body[: draw(st.integers(1, len(body)))] + draw(st.binary(max_size=8)))

        @settings(many, max_examples=2 * EXAMPLES)
        @given(st.lists(st.tuples(st.sampled_from(METHODS), bytes_of_a_call()), min_size=EACH, max_size=EACH))
        def ask(requests: list[tuple[str, bytes]]) -> None:
            for name, body in requests:
                try:
                    calls[name](body, timeout=SECONDS)
                except grpc.RpcError as problem:
                    refusal: Any = problem
                    assert refusal.code() in GRPC_REFUSALS, (name, body, refusal)
                    assert refusal.code() != grpc.StatusCode.UNKNOWN or UNREADABLE in refusal.details(), (name, body)

        ask()
    as_before()


def message() -> bytes:
    """A ModelInferRequest as it goes over the wire: model, two tensors with their values."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    def tensor(name: bytes, values: list[bytes]) -> bytes:
        contents = b"".join(field(8, value) for value in values)
        shape = field(3, bytes([len(values)]))
        return field(5, field(1, name) + field(2, b"BYTES") + shape + field(5, contents))

    return field(1, b"liverank") + field(3, b"id") + tensor(b"user_id", [b"u"]) + tensor(b"candidates", [b"a", b"b"])


def test_the_message_is_a_good_one_before_it_is_damaged(server: Server) -> None:
    with grpc.insecure_channel(str(server.said["grpc"])) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        assert b"item_id" in infer(message(), timeout=SECONDS)


def test_the_bodies_are_good_ones_before_they_are_damaged(server: Server) -> None:
    whole = {**OURS, **KSERVE}
    with server.client() as client:
        for door, body in whole.items():
            if (
                body
                and "unload" not in door
                and ":explain" not in door
                and "index" not in door
                and "versions" not in door
            ):
                method, path = door.replace("{name}", "liverank").split(" ")
                answer: httpx.Response = client.request(method, path, json=body)
                assert answer.is_success, (door, answer.text)
