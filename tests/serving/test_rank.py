from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Server, click, ids


def rank(client: httpx.Client, user: str = "nobody", candidates: Any = "abc", **fields: Any) -> httpx.Response:
    return client.post("/v1/rank", json={"user_id": user, "candidates": list(candidates), **fields})


def impressions(client: httpx.Client, user: str) -> list[dict[str, Any]]:
    records = client.get(f"/v1/users/{user}").json()["records"]
    return [record for record in records if record["record"] == "impression"]


def test_the_answer_has_the_promised_shape(client: httpx.Client) -> None:
    answer = rank(client).json()
    assert sorted(answer) == ["degraded", "impression_id", "model_version", "ranking", "timing_ms"]
    assert answer["ranking"][0] == {"item_id": "a", "score": 0.0, "position": 1}
    assert [line["position"] for line in answer["ranking"]] == [1, 2, 3]
    assert answer["degraded"] == []
    assert answer["model_version"] == "1"
    assert set(answer["timing_ms"]) == {"queue", "model", "total"}
    assert answer["timing_ms"]["total"] >= answer["timing_ms"]["model"] > 0


def test_an_event_changes_the_next_ranking(client: httpx.Client) -> None:
    assert ids(rank(client, "changes")) == ["a", "b", "c"]
    answer = client.post("/v1/events", json=click(1, "changes", "c"))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "new": 1})
    assert ids(rank(client, "changes")) == ["c", "a", "b"]
    assert ids(rank(client, "another")) == ["a", "b", "c"]


def test_k_cuts_the_list(client: httpx.Client) -> None:
    assert ids(rank(client, k=2)) == ["a", "b"]
    assert ids(rank(client, k=99)) == ["a", "b", "c"]


def test_rich_candidates(client: httpx.Client) -> None:
    candidates = ["a", {"item_id": "新", "text": "蓝牙耳机", "category": "音频"}, {"item_id": "c"}]
    assert ids(rank(client, candidates=candidates)) == ["新", "a", "c"]
    scored = [{"item_id": item, "score": score} for item, score in (("a", 0.1), ("b", 0.9))]
    assert ids(rank(client, candidates=scored)) == ["a", "b"]


def test_rules(client: httpx.Client) -> None:
    assert ids(rank(client, candidates="abcde", rules={"exclude": ["b", "unheard-of"]})) == list("acde")
    assert ids(rank(client, candidates="abcde", rules={"pin": ["d", "b"]})) == list("dbace")
    assert ids(rank(client, candidates="abcde", rules={"pin": ["e"], "exclude": ["a"]}, k=2)) == list("eb")
    assert ids(rank(client, candidates="a", rules={"exclude": ["a"]})) == []


def test_what_was_shown_is_recorded(client: httpx.Client) -> None:
    answer = rank(
        client,
        "recorded",
        k=2,
        session_id="s1",
        surface="home",
        context={"device": "phone", "timestamp": "2026-03-01T20:00:00+08:00"},
    ).json()
    (shown,) = impressions(client, "recorded")
    assert shown["impression_id"] == answer["impression_id"]
    assert shown["timestamp"] == "2026-03-01T12:00:00Z"
    assert (shown["session_id"], shown["surface"], shown["context"]) == ("s1", "home", {"device": "phone"})
    assert shown["model_version"] == "1"
    assert shown["degraded"] == []
    assert shown["shown"] == [
        {"item_id": item, "position": at, "score": 0.0, "propensity": 1.0, **incoming(at)}
        for at, item in enumerate("ab", 1)
    ]


def incoming(position: int, score: float | None = None) -> dict[str, Any]:
    return {"incoming_position": position, **({} if score is None else {"incoming_score": score})}


def test_an_impression_knows_the_order_that_came_in(client: httpx.Client) -> None:
    client.post("/v1/events", json=click(1, "reordered", "c"))
    assert ids(rank(client, "reordered", rules={"exclude": ["a"]})) == ["c", "b"]
    scored = [{"item_id": item, "score": score} for item, score in (("a", 0.25), ("b", 0.75), ("c", 0.5))]
    assert ids(rank(client, "reordered", candidates=scored)) == ["c", "a", "b"]
    plain, given = (record["shown"] for record in impressions(client, "reordered"))
    keys = ("item_id", "position", "incoming_position", "incoming_score")
    assert [tuple(line.get(key) for key in keys) for line in plain] == [("c", 1, 3, None), ("b", 2, 2, None)]
    assert [tuple(line.get(key) for key in keys) for line in given] == [
        ("c", 1, 3, 0.5),
        ("a", 2, 1, 0.25),
        ("b", 3, 2, 0.75),
    ]


def test_an_impression_lies_before_the_interaction_that_answers_it(client: httpx.Client) -> None:
    answer = rank(client, "ordered").json()
    client.post("/v1/events", json=click(1, "ordered") | {"impression_id": answer["impression_id"]})
    records = client.get("/v1/users/ordered").json()["records"]
    assert [record["record"] for record in records] == ["impression", "interaction"]
    assert records[1]["impression_id"] == records[0]["impression_id"]


def test_what_cannot_be_done_is_said(client: httpx.Client) -> None:
    assert rank(client, explain=True).json()["degraded"] == ["explain: not available"]
    failed = rank(client, "failing", ("b", "poison", "a"))
    assert ids(failed) == ["b", "poison", "a"]
    assert failed.json()["degraded"] == ["model: ValueError"]
    assert impressions(client, "failing")[0]["degraded"] == ["model: ValueError"]


def test_one_bad_list_does_not_degrade_the_others(server: Server) -> None:
    answers: list[tuple[str, list[str]]] = []

    def ask(item: str) -> None:
        with server.client() as client:
            answers.append((item, rank(client, candidates=[item, "b"]).json()["degraded"]))

    (server.workspace / "slow").write_text("0.05")
    threads = [threading.Thread(target=ask, args=(item,)) for item in ["poison", *"acdefgh"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (server.workspace / "slow").unlink()
    assert len(answers) == 8
    assert all(bool(degraded) == (item == "poison") for item, degraded in answers)


def test_a_deadline_that_passes_is_answered_in_time_and_says_so(server: Server, client: httpx.Client) -> None:
    client.post("/v1/events", json=click(1, "late", "c"))
    (server.workspace / "slow").write_text("0.5")
    answer = rank(client, "late", deadline_ms=20).json()
    (server.workspace / "slow").unlink()
    assert answer["degraded"] == ["deadline: incoming order"]
    assert [line["item_id"] for line in answer["ranking"]] == ["a", "b", "c"]
    assert answer["timing_ms"]["total"] < 400
    assert ids(rank(client, "late", deadline_ms=10_000)) == ["c", "a", "b"]


BAD: list[tuple[Any, str]] = [
    (b"", "Input data was truncated"),
    (b"{", "no valid JSON"),
    (b"\xff\xfe", "no valid JSON"),
    ([], "Expected `object`, got `array`"),
    ({}, "missing required field `candidates`"),
    ({"user_id": "u"}, "missing required field `candidates`"),
    ({"user_id": "u", "candidates": []}, "length >= 1"),
    ({"user_id": "", "candidates": ["a"]}, "length >= 1"),
    ({"user_id": 7, "candidates": ["a"]}, "$.user_id"),
    ({"user_id": "u", "candidates": "a"}, "$.candidates"),
    ({"user_id": "u", "candidates": [1]}, "$.candidates[0]"),
    ({"user_id": "u", "candidates": ["a", {"id": "b"}]}, "unknown field `id`"),
    ({"user_id": "u", "candidates": ["a", "b", "a"]}, "Candidate 'a' is there twice"),
    ({"user_id": "u", "candidates": ["a", {"item_id": "a"}]}, "Candidate 'a' is there twice"),
    ({"user_id": "u", "candidates": [str(n) for n in range(51)]}, "may carry 50 candidates, this one has 51"),
    ({"user_id": "u", "candidates": ["a", {"item_id": "b", "score": 1}]}, "1 of 2 candidates carry a score"),
    ({"user_id": "u", "candidates": [{"item_id": "b", "score": 1.1e15}]}, "$.candidates[0].score"),
    ({"user_id": "u", "candidates": [{"item_id": "b", "score": -1e39}]}, "$.candidates[0].score"),
    ({"user_id": "u", "candidates": ["a"], "canddates": []}, "unknown field `canddates`"),
    ({"user_id": "u", "candidates": ["a"], "k": 0}, "$.k"),
    ({"user_id": "u", "candidates": ["a"], "k": "3"}, "$.k"),
    ({"user_id": "u", "candidates": ["a"], "deadline_ms": 0}, "$.deadline_ms"),
    ({"user_id": "u", "candidates": ["a"], "context": {"n": 1}}, "$.context[...]"),
    ({"user_id": "u", "candidates": ["a"], "context": {"timestamp": "2026-03-01 12:00"}}, "context.timestamp"),
    ({"user_id": "u", "candidates": ["a"], "context": {"timestamp": "2999-01-01T00:00:00Z"}}, "lies in the future"),
    ({"user_id": "u", "candidates": ["a"], "context": {"timestamp": "0001-01-01T00:00:00+14:00"}}, "context.timestamp"),
    ({"user_id": "u", "candidates": ["a"], "rules": {"cap": 1}}, "unknown field `cap`"),
    ({"user_id": "u", "candidates": ["a"], "rules": {"pin": ["z"]}}, "'z', which is no candidate"),
    ({"user_id": "u", "candidates": ["a"], "rules": {"pin": ["a", "a"]}}, "'a' twice"),
    ({"user_id": "u", "candidates": ["a"], "rules": {"pin": ["a"], "exclude": ["a"]}}, "both in rules.pin"),
]


@pytest.mark.parametrize(("body", "says"), BAD)
def test_a_bad_request_is_refused_with_its_reason(client: httpx.Client, body: Any, says: str) -> None:
    answer = client.post("/v1/rank", **({"content": body} if isinstance(body, bytes) else {"json": body}))
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert says in answer.json()["error"]


def test_a_body_too_large_is_refused(client: httpx.Client) -> None:
    body = b'{"user_id": "' + b"u" * 30000 + b'"}'
    answer = client.post("/v1/rank", content=body)
    assert answer.status_code == 413
    assert "20000 bytes" in answer.json()["error"]
    chunked = client.post("/v1/events", content=iter([body[:15000], body[15000:]]))
    assert chunked.status_code == 413
    assert client.post("/v1/models/liverank:predict", content=body).status_code == 413


def test_other_methods_and_paths(client: httpx.Client) -> None:
    assert (client.get("/v1/rank").status_code, client.get("/v1/rank").json()) == (405, {"error": "Method Not Allowed"})
    assert (client.post("/nothing").status_code, client.post("/nothing").json()) == (404, {"error": "Not Found"})
