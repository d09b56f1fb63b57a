"""The rerank protocol over HTTP: what decides the order, what is recorded, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Server, click

PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")
TEXTS = ["a red chair", "a copper kettle", "a blue table"]


@pytest.fixture(scope="module")
def server(servers: Callable[..., Server]) -> Server:
    return servers("serving.max_candidates=50", "serving.max_body_bytes=20000", "serving.max_new_texts=10").start()


def rerank(client: httpx.Client, path: str = "/v1/rerank", **fields: Any) -> dict[str, Any]:
    headers = fields.pop("headers", {})
    answer = client.post(path, json=fields, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def order(answer: dict[str, Any]) -> list[int]:
    return [line["index"] for line in answer["results"]]


@pytest.mark.parametrize("path", PATHS)
def test_the_query_decides_for_a_user_without_a_history(client: httpx.Client, path: str) -> None:
    for query, first in (("copper kettle", 1), ("blue table", 2)):
        answer = rerank(client, path, query=query, documents=TEXTS, model="any", return_documents=True)
        assert order(answer)[0] == first
        assert answer["results"][0]["document"] == {"text": TEXTS[first]}
        scores = [line["relevance_score"] for line in answer["results"]]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert scores[0] > scores[-1]
        assert answer["meta"]["api_version"] == {"version": "2" if path.startswith("/v2") else "1"}
        assert answer["meta"]["warnings"] == []
    assert order(rerank(client, path, query="", documents=TEXTS)) == [0, 1, 2]


def test_what_the_user_did_and_the_query_both_count(client: httpx.Client) -> None:
    client.post("/v1/events", json=[click(1, "anna", "b"), click(2, "anna", "c"), click(3, "anna", "c")])
    documents = [{"id": "a"}, {"id": "b"}, {"id": "c"}]
    assert order(rerank(client, documents=documents, user="anna")) == [2, 1, 0]
    assert order(rerank(client, documents=documents, user_id="anna")) == [2, 1, 0]
    assert order(rerank(client, documents=documents, headers={"x-user-id": "anna"})) == [2, 1, 0]
    assert order(rerank(client, documents=documents)) == [0, 1, 2]
    assert order(rerank(client, query="b", documents=documents, user="anna")) == [1, 2, 0]
    assert order(rerank(client, query="b", documents=documents)) == [1, 0, 2]


def test_the_weight_of_the_query_is_set(servers: Callable[..., Server]) -> None:
    with servers("serving.query_weight=0").start().client() as client:
        client.post("/v1/events", json=[click(1, "anna", "c")])
        assert order(rerank(client, query="a", documents=[{"id": "a"}, {"id": "c"}], user="anna")) == [1, 0]


SURFACES = {
    "pinned": {"pin": ["c"]},
    "mixed": {"diversity": {"method": "mmr", "relevance": 0.1}},
    "drawn": {"exploration": {"share": 1, "temperature": 10}},
}


@pytest.mark.parametrize("surface", SURFACES)
def test_scores_never_rise_down_the_list_whatever_decides_it(servers: Callable[..., Server], surface: str) -> None:
    """A client that sorts by the score shows the list that was recorded as shown."""
    documents = [{"id": item, "text": text} for item, text in zip("abcd", ("ax", "ay", "b", "c"), strict=True)]
    with servers(f"serving.surfaces={json.dumps(SURFACES)}").start().client() as client:
        client.post("/v1/events", json=[click(n, "anna", item) for n, item in enumerate("aaabbc")])
        plain = rerank(client, documents=documents, user="anna")
        moved = 0
        for _ in range(10):
            answer = rerank(client, documents=documents, user="anna", surface=surface, top_n=3)
            scores = [line["relevance_score"] for line in answer["results"]]
            assert scores == sorted(scores, reverse=True)
            records = client.get("/v1/users/anna").json()["records"]
            (record,) = [one for one in records if one.get("impression_id") == answer["id"]]
            assert ["abcd"[place] for place in order(answer)] == [line["item_id"] for line in record["shown"]]
            moved += order(answer) != order(plain)[:3]
            own = [line["score"] for line in record["shown"]]
            assert (own != sorted(own, reverse=True)) == (order(answer) != sorted(order(answer)))
        assert moved


def test_a_user_id_in_a_header_may_be_in_any_script(client: httpx.Client) -> None:
    client.post("/v1/events", json=[click(1, "安娜", "b")])
    documents = [{"id": "a"}, {"id": "b"}]
    assert order(rerank(client, documents=documents, headers={b"x-user-id": "安娜".encode()})) == [1, 0]


def test_a_string_that_is_a_known_items_id_is_this_item(client: httpx.Client) -> None:
    client.put("/v1/items", json=[{"item_id": "sku-1"}])
    client.post("/v1/events", json=[click(1, "bob", "sku-1")])
    assert order(rerank(client, documents=["some text", "sku-1"], user="bob")) == [1, 0]
    said = client.get("/v1/users/bob").json()["records"]
    shown = next(record for record in said if record["record"] == "impression")["shown"]
    assert shown[0]["item_id"] == "sku-1"


def test_the_impression_is_recorded_as_it_was_shown(client: httpx.Client) -> None:
    asked = {"query": "table", "documents": TEXTS, "user": "carl", "top_n": 2, "surface": "search", "session_id": "s"}
    answer = rerank(client, **asked)
    assert order(answer) == [2, 0]
    (record,) = client.get("/v1/users/carl").json()["records"]
    assert (record["impression_id"], record["surface"], record["session_id"]) == (answer["id"], "search", "s")
    assert [line["incoming_position"] for line in record["shown"]] == [3, 1]
    assert [line["incoming_score"] for line in record["shown"]] == [1, 0]
    again = rerank(client, **asked)
    assert again["id"] != answer["id"]
    records = client.get("/v1/users/carl").json()["records"]
    assert len({tuple(line["item_id"] for line in each["shown"]) for each in records}) == 1, "a text has one id"


def test_who_is_not_named_has_no_history_and_shares_none(client: httpx.Client) -> None:
    answers = [rerank(client, query="table", documents=TEXTS, user=user) for user in ("", None)]
    assert [order(answer) for answer in answers] == [[2, 0, 1]] * 2


def test_equal_documents_stand_side_by_side(client: httpx.Client) -> None:
    answer = rerank(client, query="kettle", documents=[TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[1]])
    assert order(answer) == [1, 3, 0, 2]
    assert order(rerank(client, query="kettle", documents=[TEXTS[1]] * 3, top_n=2)) == [0, 1]


def test_fields_are_ranked_where_they_are_named(client: httpx.Client) -> None:
    documents = [{"title": "chair", "text": "x"}, {"title": "kettle", "text": "x", "price": 3, "id": "k"}]
    answer = rerank(client, query="kettle", documents=documents, rank_fields=["title", "text"], return_documents=True)
    assert order(answer) == [1, 0]
    assert answer["results"][0]["document"] == {"title": "kettle", "text": "x", "id": "k"}
    assert order(rerank(client, query="kettle", documents=documents)) == [0, 1]


def test_what_is_null_is_not_there(client: httpx.Client) -> None:
    answer = rerank(client, query="kettle", documents=[{"id": "b", "text": None}, {"id": None, "text": "kettle"}])
    assert order(answer) == [1, 0]


def test_what_is_lacking_is_said(client: httpx.Client) -> None:
    answer = rerank(client, query="unreadable", documents=TEXTS, usre="anna", max_tokens_per_doc=5, seed=None)
    assert order(answer) == [0, 1, 2]
    assert answer["meta"]["warnings"] == [
        "query: not compared",
        "'max_tokens_per_doc' has no effect",
        "'usre' has no effect",
    ]
    many = rerank(client, query="unmet 3", documents=[f"unmet {at}" for at in range(12)])
    assert many["meta"]["warnings"] == ["query: 2 candidates were compared without their text"]
    assert order(many)[0] == 3
    assert client.get("/metrics").text.count('liverank_degraded_total{reason="query"} 2.0') == 1
    more = [f"more than unmet {at}" for at in range(23)]
    assert rerank(client, query="unmet 3", documents=more)["meta"]["warnings"] == [
        "query: 13 candidates were compared without their text",
        "texts: 3 candidates were scored without their text",
    ]
    assert rerank(client, query="unmet 3", documents=more)["meta"]["warnings"] == []


def test_a_deadline_that_has_passed_leaves_an_order(client: httpx.Client) -> None:
    answer = rerank(client, query="kettle", documents=TEXTS, deadline_ms=0.0001)
    assert order(answer) == [0, 1, 2]
    assert answer["meta"]["warnings"] == ["query: not compared in the time left", "deadline: incoming order"]
    assert set(answer["meta"]["timing_ms"]) >= {"query", "model", "total"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"query": "x"}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": [1]}, "$.documents[0]"),
        ({"documents": [{}]}, "documents[0] has neither a text nor an id"),
        ({"documents": ["a", {"title": "x"}]}, "documents[1] has neither a text nor an id"),
        ({"documents": [{"text": 3}]}, "documents[0]: what is ranked must be strings (text)"),
        ({"documents": [{"id": ""}]}, "documents[0]: 'id'"),
        ({"documents": [{"id": 3, "text": "x"}]}, "documents[0]: 'id'"),
        ({"documents": [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}]}, "documents[1]: id 'a' is there twice"),
        ({"documents": ["a"], "top_n": 0}, "top_n"),
        ({"documents": ["a"], "user": "a", "user_id": "b"}, "give one"),
        ({"documents": ["a"], "user": "a" * 257}, "user"),
        ({"documents": [f"{at}" for at in range(51)]}, "50 candidates"),
        ([], "object"),
    ],
)
def test_what_cannot_be_followed_is_refused(client: httpx.Client, body: Any, says: str) -> None:
    for query in ({}, {"query": "x"}) if isinstance(body, dict) else ({},):
        answer = client.post("/v2/rerank", json={**query, **body} if isinstance(body, dict) else body)
        assert answer.status_code == 400
        assert says in answer.json()["error"]


def test_the_limits_of_the_server_hold(client: httpx.Client, servers: Callable[..., Server]) -> None:
    assert client.post("/rerank", content=b"{").status_code == 400
    for named in ({}, {"user": "anna"}):
        body = {"documents": ["a"], **named}
        assert client.post("/rerank", json=body, headers={"x-user-id": "a" * 257}).status_code == 400
    assert client.post("/rerank", json={"documents": ["a" * 20_000]}).status_code == 413
    assert client.get("/rerank").status_code == 405
    assert 'liverank_requests_total{route="POST /rerank",status="400"}' in client.get("/metrics").text
    with servers(environment={"LIVERANK_TOKEN": "secret"}).start().client() as guarded:
        for path in PATHS:
            assert guarded.post(path, json={"documents": ["a"]}).status_code == 401
