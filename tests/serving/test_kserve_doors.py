"""KServe's own clients against the real server. They run in a child process: importing kserve reads sys.argv."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.serving.conftest import ROOT, Server, click

CLIENT = """
import asyncio, json, sys
import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

url, address = sys.argv[1:]
said = {}

def tensors(name, raw):
    inputs = [InferInput("user_id", [1], "BYTES"), InferInput("candidates", [3], "BYTES")]
    for tensor, values in zip(inputs, ([name], ["a", "b", "物"])):
        encoded = [value.encode() for value in values]
        if raw:
            tensor.set_data_from_numpy(np.array(encoded, dtype=object), binary_data=True)
        else:
            tensor.data = values if raw is None else encoded
    return InferRequest("liverank", inputs, parameters={"k": 2} if raw is None else None)

def values(response):
    return [[value.decode() if isinstance(value, bytes) else value for value in output.as_numpy().tolist()]
            for output in response.outputs]

async def main():
    v1 = InferenceRESTClient(RESTConfig(protocol="v1", timeout=10))
    v2 = InferenceRESTClient(RESTConfig(protocol="v2", timeout=10))
    said["v1"] = await v1.infer(url, {"instances": [{"user_id": "door", "candidates": ["a", "b", "物"]}] * 2},
                                model_name="liverank")
    try:
        await v1.infer(url, {"instances": [{"user_id": "door"}]}, model_name="liverank")
    except Exception as problem:
        said["v1 error"] = str(problem)
    said["v2"] = values(await v2.infer(url, tensors("door", None), model_name="liverank"))
    said["v2 binary"] = values(await v2.infer(url, tensors("door", True), model_name="liverank"))
    said["v2 ready"] = await v2.is_model_ready(url, "liverank")
    client = InferenceGRPCClient(address, timeout=10, channel_args=[("grpc.enable_retries", 0)])
    for name, raw in (("grpc", False), ("grpc raw", True)):
        response = await client.infer(tensors("door", raw))
        said[name] = values(response)
    said["grpc version"] = response.model_version
    said["grpc ready"] = await client.is_model_ready("liverank")
    for name, request in (
        ("grpc missing", InferRequest("liverank", [InferInput("user_id", [1], "BYTES", data=[b"u"])])),
        ("grpc unknown", InferRequest("other", [InferInput("user_id", [1], "BYTES", data=[b"u"])])),
    ):
        try:
            await client.infer(request)
        except grpc.RpcError as problem:
            said[name] = [problem.code().name, problem.details()]
    try:
        await client.unload_model("liverank") if hasattr(client, "unload_model") else None
    except grpc.RpcError as problem:
        said["grpc unload"] = problem.code().name
    await client.close()

asyncio.run(main())
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(server: Server) -> dict[str, Any]:
    """What KServe's clients heard, after one click of user `door` on the third item."""
    with server.client() as client:
        assert client.post("/v1/events", json=click(1, "door", "物")).status_code == 202
    command = [sys.executable, "-c", CLIENT, server.url, server.said["grpc"]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_v1_predict(said: dict[str, Any]) -> None:
    predictions = said["v1"]["predictions"]
    assert len(predictions) == 2
    assert [line["item_id"] for line in predictions[0]["ranking"]] == ["物", "a", "b"]
    assert predictions[0]["model_version"] == "1"
    assert predictions[0]["impression_id"] != predictions[1]["impression_id"]
    assert "missing required field `candidates`" in said["v1 error"]


def test_v2_rest(said: dict[str, Any]) -> None:
    assert said["v2"] == [["物", "a"], [1.0, 0.0]]
    assert said["v2 binary"] == [["物", "a", "b"], [1.0, 0.0, 0.0]]
    assert said["v2 ready"] is True


def test_grpc(said: dict[str, Any]) -> None:
    assert said["grpc"] == said["grpc raw"] == [["物", "a", "b"], [1.0, 0.0, 0.0]]
    assert said["grpc version"] == "1"
    assert said["grpc ready"] is True
    assert said["grpc missing"] == [
        "INVALID_ARGUMENT",
        "The input tensor 'candidates' is missing; there are ['user_id'].",
    ]
    assert said["grpc unknown"][0] == "NOT_FOUND"


def infer(client: httpx.Client, *inputs: tuple[str, Any, str, list[Any]]) -> httpx.Response:
    tensors = [{"name": name, "datatype": kind, "shape": shape, "data": data} for name, shape, kind, data in inputs]
    return client.post("/v2/models/liverank/infer", json={"inputs": tensors})


def test_bad_tensors(client: httpx.Client) -> None:
    user = ("user_id", [1], "BYTES", ["u"])
    for inputs, says in (
        ([("user_id", [2], "BYTES", ["u", "v"]), ("candidates", [1], "BYTES", ["a"])], "one user"),
        ([user, ("candidates", [3], "BYTES", ["a"])], "has 1 values and shape [3]"),
        ([user, ("candidates", [1], "INT64", [1])], "must be BYTES"),
        ([user, ("candidates", [2], "BYTES", ["a", "a"])], "'a' is there twice"),
        ([user, ("candidates", [0], "BYTES", [])], "has 0 values"),
        ([user, ("candidates", [2], "BYTES", ["a", 1])], "holds no strings: there is a int"),
        ([user, ("candidates", [2], "BYTES", [["a"], [{"b": "c"}]])], "holds no strings: there is a dict"),
    ):
        answer = infer(client, *inputs)
        assert (answer.status_code, says in answer.json()["error"]) == (400, True), answer.text


def test_v1_bodies_of_any_content_type(client: httpx.Client) -> None:
    body = json.dumps({"instances": [{"user_id": "u", "candidates": ["a"]}]})
    for kind in ("application/json", "application/json; charset=utf-8", "text/plain"):
        answer = client.post("/v1/models/liverank:predict", content=body, headers={"content-type": kind})
        assert (answer.status_code, len(answer.json()["predictions"])) == (200, 1)
        bad = client.post("/v1/models/liverank:predict", content="{}", headers={"content-type": kind})
        assert bad.status_code == 400


def test_the_ready_probe_knows_the_model(client: httpx.Client) -> None:
    assert client.get("/v2/models/liverank/ready").json() == {"name": "liverank", "ready": True}
    assert client.get("/v2/models/other/ready").status_code == 404


def test_unload_is_refused(client: httpx.Client) -> None:
    answer = client.post("/v2/repository/models/liverank/unload")
    assert answer.status_code == 403
    assert client.get("/v2/models/liverank/ready").json()["ready"] is True
    assert client.post("/v2/repository/models/other/load").status_code == 404


def test_a_body_that_breaks_the_schema_of_v2(client: httpx.Client) -> None:
    answer = client.post("/v2/models/liverank/infer", json={"inputs": [{"name": "user_id"}]})
    assert answer.status_code == 400
    assert answer.json() == {"error": "Field required - at `body.InferenceRequest.inputs.0.shape`"}
    assert client.post("/v2/models/liverank/infer", content=b"{").status_code == 400


TENSOR = {"name": "candidates", "shape": [1], "datatype": "BYTES"}
EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t"}
LENGTH = "inference-header-content-length"
MALFORMED: list[tuple[bytes, dict[str, str]]] = [
    (b"{}", {LENGTH: "2"}),
    (b"[]", {LENGTH: "2"}),
    (b"5", {LENGTH: "1"}),
    (b"{}", {LENGTH: "abc"}),
    (b'{"inputs": null}', {LENGTH: "16"}),
    *(
        (
            body := json.dumps({"inputs": [{**TENSOR, "parameters": {"binary_data_size": size}}]}).encode(),
            {LENGTH: f"{len(body)}"},
        )
        for size in ("x", -5, 10**12, 1.5)
    ),
    (json.dumps({"inputs": [{**TENSOR, "data": ["private"]}], "id": 5}).encode(), {LENGTH: "100"}),
    (json.dumps({"inputs": [{**TENSOR, "data": ["private"]}], "id": "\ud800"}).encode(), {}),
    (json.dumps({"inputs": [{**TENSOR, "data": ["\ud800"]}]}).encode(), {}),
    (json.dumps({"inputs": [{**TENSOR, "data": ["private"]}], "outputs": 5}).encode(), {}),
]


@pytest.mark.parametrize(("body", "headers"), MALFORMED)
def test_calls_that_are_not_as_the_protocol_has_them(
    client: httpx.Client, body: bytes, headers: dict[str, str]
) -> None:
    kind = "application/octet-stream" if headers else "application/json"
    answer = client.post("/v2/models/liverank/infer", content=body, headers={**headers, "content-type": kind})
    assert answer.status_code == 400
    assert "private" not in answer.json()["error"]


@pytest.mark.parametrize("more", [{}, {"ce-contenttype": "application/json"}])
def test_cloud_events_without_a_body(client: httpx.Client, more: dict[str, str]) -> None:
    answer = client.post("/v1/models/liverank:predict", content=b"", headers={**EVENT, **more})
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_refusals_leave_the_log_alone(servers: Callable[..., Server]) -> None:
    server = servers().start()
    with server.client() as client:
        assert predict(client, [{"user_id": "u"}]).status_code == 400
        assert client.post("/v1/models/liverank:predict", content=b"{").status_code == 400
        assert client.post("/v1/models/other:predict", json={"instances": []}).status_code == 404
        assert infer(client, ("user_id", [1], "BYTES", ["u"])).status_code == 400
    command = [sys.executable, "-c", CLIENT, server.url, server.said["grpc"]]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False)
    server.kill()
    assert server.output() == ""


def predict(client: httpx.Client, instances: list[dict[str, Any]]) -> httpx.Response:
    return client.post("/v1/models/liverank:predict", json={"instances": instances})


def test_v1_is_all_or_nothing(servers: Callable[..., Server]) -> None:
    server = servers("serving.queue_requests=3").start()
    lists = [{"user_id": "many", "candidates": ["a", "b"]}] * 4
    with server.client() as client:

        def recorded() -> int:
            return len(client.get("/v1/users/many").json()["records"])

        answer = predict(client, lists)
        assert answer.status_code == 400
        assert "may rank 3 lists (serving.queue_requests), this one has 4" in answer.json()["error"]
        assert predict(client, [*lists[:2], {"user_id": "many", "candidates": ["a", "a"]}]).status_code == 400
        assert recorded() == 0
        assert len(predict(client, lists[:3]).json()["predictions"]) == 3
        assert recorded() == 3
        assert predict(client, []).json() == {"predictions": []}


def test_v1_records_nothing_when_the_queue_has_no_room_for_all(servers: Callable[..., Server]) -> None:
    server = servers("serving.queue_requests=3", "serving.batch_requests=1").start()
    (server.workspace / "slow").write_text("0.3")
    answers: list[httpx.Response] = []

    def ask() -> None:
        with server.client() as client:
            answers.append(predict(client, [{"user_id": "crowd", "candidates": ["a"]}] * 3))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = sum(answer.status_code == 200 for answer in answers)
    assert {answer.status_code for answer in answers} == {200, 503}
    with server.client() as client:
        assert len(client.get("/v1/users/crowd").json()["records"]) == 3 * done
