"""Requests that name no user, at every door: no history but the session's, a record of their own, a variant."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from liverank.events import Impression
from liverank.experiments.assignment import Assignment
from liverank.pseudonyms import Pseudonyms
from liverank.store import open_store
from serving.visitors import visitor
from tests.serving.conftest import Server, click, ids
from tests.serving.test_commands import liverank, on

KEY = "a long secret of the operator's"


def rank(client: httpx.Client, candidates: Sequence[str] = "abc", **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/rank", json={"candidates": list(candidates), **fields})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def infer(client: httpx.Client, **parameters: Any) -> dict[str, Any]:
    inputs = [{"name": "candidates", "shape": [3], "datatype": "BYTES", "data": ["a", "b", "c"]}]
    answer = client.post("/v2/models/liverank/infer", json={"inputs": inputs, "parameters": parameters})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def held(client: httpx.Client, user: str) -> list[dict[str, Any]]:
    return list(client.get(f"/v1/users/{user}").json()["records"])


def test_without_a_session_each_request_is_a_user_of_its_own(client: httpx.Client) -> None:
    answers = [rank(client), rank(client, user_id=None), rank(client, session_id="")]
    users = {answer["user_id"] for answer in answers}
    assert len(users) == 3
    for answer in answers:
        assert answer["user_id"].startswith("anonymous-")
        assert answer["degraded"] == []
        (impression,) = held(client, answer["user_id"])
        assert impression["impression_id"] == answer["impression_id"]


def test_who_has_a_name_is_not_told_it(client: httpx.Client) -> None:
    assert "user_id" not in rank(client, user_id="anna")


def test_a_session_remembers_what_its_visitor_did(client: httpx.Client) -> None:
    first = rank(client, session_id="visit-1")
    event = click(1, first["user_id"], "c") | {"impression_id": first["impression_id"], "session_id": "visit-1"}
    assert client.post("/v1/events", json=event).status_code == 202
    again = rank(client, session_id="visit-1")
    assert again["user_id"] == first["user_id"]
    assert [line["item_id"] for line in again["ranking"]] == ["c", "a", "b"]
    for other in (rank(client, session_id="visit-2"), rank(client)):
        assert [line["item_id"] for line in other["ranking"]] == ["a", "b", "c"]
    assert ids(client.post("/v1/rank", json={"user_id": first["user_id"], "candidates": ["a", "c"]})) == ["c", "a"]
    assert client.delete(f"/v1/users/{first['user_id']}").json()["erased"] == 4
    assert [line["item_id"] for line in rank(client, session_id="visit-1")["ranking"]] == ["a", "b", "c"]


def test_every_door_knows_the_same_visitor(client: httpx.Client) -> None:
    expected = visitor("doors")
    assert rank(client, session_id="doors")["user_id"] == expected
    body = {"instances": [{"candidates": ["a"], "session_id": "doors"}, {"candidates": ["a"], "user_id": None}]}
    first, second = client.post("/v1/models/liverank:predict", json=body).json()["predictions"]
    assert first["user_id"] == expected
    assert second["user_id"] not in (expected, "")
    assert infer(client, session_id="doors")["parameters"]["user_id"] == expected
    reranked = client.post("/v2/rerank", json={"query": "", "documents": ["a"], "session_id": "doors"}).json()
    assert reranked["meta"]["user_id"] == expected
    assert len(held(client, expected)) == 4


def test_an_empty_name_is_no_visitors(client: httpx.Client) -> None:
    answer = client.post("/v1/rank", json={"user_id": "", "candidates": ["a"]})
    assert answer.status_code == 400
    assert "user_id" in answer.json()["error"]
    body = {"instances": [{"user_id": "", "candidates": ["a"]}]}
    assert client.post("/v1/models/liverank:predict", json=body).status_code == 400
    inputs = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [data]} for name, data in
              (("user_id", ""), ("candidates", "a"))]  # fmt: skip
    assert client.post("/v2/models/liverank/infer", json={"inputs": inputs}).status_code == 400


def test_the_session_decides_the_variant(servers: Callable[..., Server]) -> None:
    shares = {"control": 0.5, "new": 0.5}
    server = servers(
        *(f"serving.experiment.variants.{name}.share={share}" for name, share in shares.items()),
        "serving.experiment.variants.new.model=alias:challenger",
        "serving.experiment.name=spring",
    ).start()
    assignment = Assignment("spring", shares)
    with server.client() as client:
        variants = set()
        for session in map(str, range(12)):
            answers = [rank(client, session_id=session) for _ in range(2)]
            assert {answer["variant"] for answer in answers} == {assignment.variant(visitor(session))}
            variants.add(answers[0]["variant"])
        alone = [rank(client) for _ in range(40)]
    assert variants == set(shares)
    assert {answer["variant"] for answer in alone} == set(shares), "by chance, once in 2**39 runs, all are of one"
    for answer in alone:
        assert answer["variant"] == assignment.variant(answer["user_id"])


@pytest.mark.parametrize("session", ["visit.raw", None])
def test_pseudonyms_hide_visitors_too(servers: Callable[..., Server], session: str | None) -> None:
    server = servers("serving.pseudonym_variable=SECRET", environment={"SECRET": KEY}).start()
    with server.client() as client:
        told = rank(client, session_id=session)["user_id"]
        assert client.post("/v1/events", json=click(1, told, "b")).status_code == 202
        assert ids(client.post("/v1/rank", json={"user_id": told, "candidates": ["a", "b"]})) == ["b", "a"]
        assert len(held(client, told)) == 3
    store = open_store(server.workspace / "live.db")
    found = [record for _, record in store.export() if isinstance(record, Impression)]
    store.close()
    names = Pseudonyms(KEY.encode())
    assert {record.user_id for record in found} == {names.user(told)}
    assert found[0].session_id == names.session(session)


def test_the_command(server: Server) -> None:
    done = liverank("rank", "--anonymous", "a", "b", "--session", "shell", "--json", *on(server))
    answer = json.loads(done.stdout)
    assert [line["item_id"] for line in answer["ranking"]] == ["a", "b"]
    assert answer["user_id"] == visitor("shell")
    shown = liverank("rank", "--anonymous", "a", *on(server)).stdout
    assert "Ranking for a visitor" in shown
    assert "events go by --user anonymous-" in shown
    nobody = liverank("rank", *on(server))
    assert nobody.returncode == 2
    assert "--anonymous" in nobody.stderr
