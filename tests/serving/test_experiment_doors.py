"""One user, one variant, by whichever door: KServe's own clients against a server with an experiment."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from liverank.events import Impression
from liverank.experiments.assignment import Assignment
from liverank.store import open_store
from serving.visitors import visitor
from tests.serving.conftest import ROOT, Server
from tests.serving.test_experiment import INTERLEAVED, SPLIT, place

VERSIONS = {"control": "1", "new": "9"}

# In a child process: importing kserve reads sys.argv.
CLIENT = """
import asyncio, json, sys
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

url, address, users = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
said = []

def tensors(user):
    inputs = [InferInput("candidates", [2], "BYTES", data=[b"a", b"b"])]
    if user is not None:
        inputs.append(InferInput("user_id", [1], "BYTES", data=[user.encode()]))
    return InferRequest("liverank", inputs, parameters={"session_id": "visit"})

def rest_tensors(user):
    request = tensors(user)
    for tensor in request.inputs:
        tensor.data = [value.decode() for value in tensor.data]
    return request

def plain(parameters):
    return {name: getattr(value, "string_param", value) for name, value in parameters.items()}

def told(response):
    # The REST client of kserve 0.21 loses the version that is in the answer.
    version = {} if response.model_version is None else {"model_version": response.model_version}
    return {**plain(response.parameters), **version}

async def main():
    v1 = InferenceRESTClient(RESTConfig(protocol="v1", timeout=30))
    v2 = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
    grpc = InferenceGRPCClient(address, timeout=30, channel_args=[("grpc.enable_retries", 0)])
    for user in users:
        instance = {"candidates": ["a", "b"], "session_id": "visit", **({} if user is None else {"user_id": user})}
        (first, second) = (await v1.infer(url, {"instances": [instance] * 2}, model_name="liverank"))["predictions"]
        said.append({
            "v1": first, "v1 again": second,
            "v2": told(await v2.infer(url, rest_tensors(user), model_name="liverank")),
            "grpc": told(await grpc.infer(tensors(user))),
        })
    await grpc.close()

asyncio.run(main())
print(json.dumps(said))
"""


def by_kserves_clients(server: Server, users: list[str | None]) -> list[dict[str, dict[str, Any]]]:
    """For each user what the answer of each door says."""
    command = [sys.executable, "-c", CLIENT, server.url, server.said["grpc"], json.dumps(users)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


def recorded(server: Server, count: int) -> dict[str, Impression]:
    """The impressions by id, once there are so many."""
    deadline = time.monotonic() + 30
    while True:
        store = open_store(server.workspace / "live.db")
        found = {of.impression_id: of for _, of in store.export() if isinstance(of, Impression)}
        store.close()
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} impressions"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def split(servers: Callable[..., Server]) -> Server:
    server = servers(*SPLIT)
    place(server, "alias-challenger", "9")
    return server.start()


def test_a_user_has_one_variant_at_every_door(split: Server) -> None:
    users = [*(f"door{number}" for number in range(6)), None]
    said = by_kserves_clients(split, users)
    assignment = Assignment("spring", {"control": 0.5, "new": 0.5})
    with split.client() as client:
        for user, answers in zip(users, said, strict=True):
            named = {} if user is None else {"user_id": user}
            body = {"candidates": ["a", "b"], "session_id": "visit", **named}
            answers["rank"] = client.post("/v1/rank", json=body).json()
            variant = assignment.variant(user or visitor("visit"))
            for door, answer in answers.items():
                assert (answer["experiment"], answer["variant"]) == ("spring", variant), door
                assert door == "v2" or answer["model_version"] == VERSIONS[variant], door
                assert answer.get("user_id") == (visitor("visit") if user is None else None), door
    assert {answers["v2"]["variant"] for answers in said} == {"control", "new"}
    records = recorded(split, 5 * len(users))
    for answers in said:
        for answer in answers.values():
            arm = records[answer["impression_id"]].experiment_arm
            assert arm is not None
            assert (arm.name, arm.variant) == ("spring", answer["variant"])
            assert records[answer["impression_id"]].model_version == VERSIONS[arm.variant]


def test_interleaved_lists_name_the_experiment_and_no_variant(servers: Callable[..., Server]) -> None:
    server = servers(*INTERLEAVED)
    place(server, "version-7", "7")
    server.start()
    (answers,) = by_kserves_clients(server, ["anna"])
    for door, answer in answers.items():
        assert answer["experiment"] == "duel", door
        assert door == "v2" or answer["model_version"] == "1+7", door
        assert "variant" not in answer, door


def test_without_an_experiment_nobody_speaks_of_one(servers: Callable[..., Server]) -> None:
    (answers,) = by_kserves_clients(servers().start(), ["anna"])
    for door, answer in answers.items():
        assert not {"experiment", "variant"} & answer.keys(), door
