"""With a key, the store, its log and what training takes from it hold pseudonyms; callers go on with their own ids."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from liverank.certificates import is_genuine, read
from liverank.pseudonyms import Pseudonyms
from liverank.store import open_store
from tests.serving.conftest import ROOT, Server, click, ids

KEY = "a secret of the operator's"
USERS = ("anna.raw", "ben.raw", "carl.raw", "dora.raw")
GRPC = """
import asyncio, json, sys
from kserve import InferenceGRPCClient, InferInput, InferRequest

async def main():
    client = InferenceGRPCClient(sys.argv[1], timeout=10)
    request = InferRequest("liverank", [InferInput("user_id", [1], "BYTES", data=[sys.argv[2].encode()]),
                                        InferInput("candidates", [2], "BYTES", data=[b"a", b"b"])],
                           parameters={"session_id": "session.raw"})
    print(json.dumps([value.decode() for value in (await client.infer(request)).outputs[0].as_numpy()]))
    await client.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def secret(servers: Callable[..., Server]) -> Server:
    return servers("serving.pseudonym_variable=SECRET", environment={"SECRET": KEY}).start()


def _event(number: int, user: str, item: str) -> dict[str, object]:
    return {
        **click(number, user, item),
        "event_id": f"e-{item}-{number}-{USERS.index(user)}",
        "session_id": "session.raw",
    }


def _infer(user: str) -> dict[str, object]:
    tensors = {"user_id": [user], "candidates": ["a", "b"]}
    inputs = [{"name": n, "shape": [len(d)], "datatype": "BYTES", "data": d} for n, d in tensors.items()]
    return {"inputs": inputs, "parameters": {"session_id": "session.raw"}}


def test_every_door_knows_the_user_and_the_file_does_not(secret: Server) -> None:
    anna, ben, carl, _ = USERS
    with secret.client() as client:
        batch = [
            _event(1, anna, "b"),
            _event(2, ben, "c"),
            {"record": "user", "user_id": anna, "attributes": {"x": "y"}},
        ]
        assert client.post("/v1/events", json=batch).status_code == 202
        assert client.post("/v1/events", json=batch).json()["new"] == 0
        ranked = client.post("/v1/rank", json={"user_id": anna, "candidates": ["a", "b"], "session_id": "session.raw"})
        assert ids(ranked) == ["b", "a"]
        several = [{"user_id": user, "candidates": ["a", "b", "c"]} for user in (anna, ben, carl)]
        answer = client.post("/v1/models/liverank:predict", json={"instances": several}).json()["predictions"]
        assert [lines["ranking"][0]["item_id"] for lines in answer] == ["b", "c", "a"]
        outputs = client.post("/v2/models/liverank/infer", json=_infer(anna)).json()["outputs"]
        assert outputs[0]["data"] == ["b", "a"]
        reranked = client.post("/v2/rerank", json={"query": "", "documents": ["a", "b"]}, headers={"x-user-id": anna})
        assert reranked.status_code == 200
        done = subprocess.run(
            [sys.executable, "-c", GRPC, secret.said["grpc"], anna],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert json.loads(done.stdout) == ["b", "a"], done.stderr
        _check_export(client, anna)
    names = Pseudonyms(KEY.encode())
    held = b"".join(path.read_bytes() for path in secret.workspace.iterdir() if path.is_file())
    assert names.user(anna).encode() in held
    assert b".raw" not in held, "no user and no session, neither in the log nor in an index"
    _check_log(secret.workspace, names)


def _check_export(client: httpx.Client, user: str) -> None:
    told = client.get(f"/v1/users/{user}").json()
    assert told["user_id"] == user
    assert {record["user_id"] for record in told["records"]} == {user}
    kinds = [record["record"] for record in told["records"]]
    assert kinds.count("interaction") == 1
    assert kinds.count("user") == 1
    assert kinds.count("impression") == 5, "one of each door"


def _check_log(workspace: Path, names: Pseudonyms) -> None:
    """What a landing of the log, and so training, takes."""
    store = open_store(str(workspace / "live.db"))
    exported = [record for _, record in store.export()]
    store.close()
    assert {record.user_id for record in exported if hasattr(record, "user_id")} == {names.user(u) for u in USERS[:3]}
    sessions = {record.session_id for record in exported if getattr(record, "session_id", None)}
    assert sessions == {names.session("session.raw")}
    assert b".raw" not in msgspec.json.encode(exported)


def test_erasing_by_the_id_that_the_caller_knows(secret: Server) -> None:
    dora = USERS[3]
    with secret.client() as client:
        assert client.post("/v1/events", json=[_event(3, dora, "a"), _event(4, USERS[1], "a")]).status_code == 202
        other = len(client.get(f"/v1/users/{USERS[1]}").json()["records"])
        pseudonym = Pseudonyms(KEY.encode()).user(dora)
        assert client.get(f"/v1/users/{pseudonym}").json()["records"] == [], "a pseudonym is nobody's id"
        erased = client.delete(f"/v1/users/{dora}").json()
        assert (erased["user_id"], erased["erased"]) == (dora, 1)
        assert client.get(f"/v1/users/{dora}").json()["records"] == []
        assert len(client.get(f"/v1/users/{USERS[1]}").json()["records"]) == other
    assert erased["records"] == {"interaction": 1}
    names = Pseudonyms(KEY.encode())
    assert is_genuine(read(json.dumps(erased).encode()), names.signing_key())
    assert not is_genuine(read(json.dumps(erased | {"erased": 2}).encode()), names.signing_key())


def test_another_key_is_another_population(servers: Callable[..., Server]) -> None:
    server = servers("serving.pseudonym_variable=SECRET", environment={"SECRET": KEY}).start()
    body = {"user_id": USERS[0], "candidates": ["a", "b"]}
    with server.client() as client:
        client.post("/v1/events", json=_event(1, USERS[0], "b"))
        assert ids(client.post("/v1/rank", json=body)) == ["b", "a"]
    server.kill()
    for key, first in (("another secret of the operator's", "a"), (KEY, "b")):
        server.environment = {"SECRET": key}
        server.start()
        with server.client() as client:
            assert ids(client.post("/v1/rank", json=body))[0] == first
        server.kill()


def test_a_server_without_the_key_does_not_start(servers: Callable[..., Server]) -> None:
    server = servers("serving.pseudonym_variable=NOT_THERE")
    server.workspace.mkdir(parents=True)
    server.process = server.launch()
    assert server.process.wait(60) == 2
    assert "NOT_THERE" in server.output()
