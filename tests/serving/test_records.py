from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.serving.conftest import Server, click, ids

IMPRESSION = {
    "record": "impression",
    "impression_id": "m1",
    "user_id": "shapes",
    "timestamp": "2026-03-01T12:00:00Z",
    "shown": [{"item_id": "a", "position": 1}],
}


def send(client: httpx.Client, body: Any) -> tuple[int, Any]:
    answer = client.post("/v1/events", json=body)
    return answer.status_code, answer.json()


def test_a_batch_a_list_or_one_record(client: httpx.Client) -> None:
    assert send(client, {"events": [click(1, "shapes"), click(2, "shapes")]}) == (202, {"accepted": 2, "new": 2})
    assert send(client, [click(3, "shapes"), IMPRESSION]) == (202, {"accepted": 2, "new": 2})
    assert send(client, click(4, "shapes") | {"record": "interaction"}) == (202, {"accepted": 1, "new": 1})
    assert send(client, {"record": "user", "user_id": "shapes"}) == (202, {"accepted": 1, "new": 1})
    assert send(client, []) == (202, {"accepted": 0, "new": 0})
    assert len(client.get("/v1/users/shapes").json()["records"]) == 6


def test_sending_again_does_nothing(client: httpx.Client) -> None:
    batch = [click(n, "again") for n in range(5)]
    assert send(client, batch) == (202, {"accepted": 5, "new": 5})
    assert send(client, [*batch, click(9, "again")]) == (202, {"accepted": 6, "new": 1})


BAD: list[tuple[Any, str]] = [
    (click(1, "bad") | {"timestamp": "2026-03-01T12:00:00"}, "timezone"),
    (click(1, "bad") | {"timestamp": "yesterday"}, "$.timestamp"),
    (click(1, "bad") | {"timestamp": "2999-01-01T00:00:00Z"}, "'2999-01-01T00:00:00+00:00' lies in the future"),
    (click(1, "bad") | {"received_at": "2999-01-01T00:00:00Z"}, "received_at '2999-01-01T00:00:00+00:00' lies in the"),
    (IMPRESSION | {"user_id": "bad", "timestamp": "9999-12-31T00:00:00+01:00"}, "lies in the future"),
    (click(1, "bad") | {"timestamp": "0001-01-01T00:00:00+14:00"}, "has no equal in UTC"),
    (click(1, "bad") | {"timestamp": "9999-12-31T23:59:59-14:00"}, "has no equal in UTC"),
    (
        click(1, "bad") | {"received_at": "0001-01-01T00:00:00+14:00"},
        "The received_at 0001-01-01T00:00:00+14:00 has no",
    ),
    ({"record": "item", "item_id": "bad", "available_from": "9999-12-31T23:59:59-14:00"}, "The available_from 9999-12"),
    (IMPRESSION | {"user_id": "bad", "shown": [{"item_id": "a", "position": 2**31}]}, "$.shown[0].position"),
    (
        IMPRESSION | {"user_id": "bad", "shown": [{"item_id": "a", "position": 1, "incoming_position": 2**31}]},
        "$.shown[0].incoming_position",
    ),
    (IMPRESSION | {"user_id": "bad", "shown": [{"item_id": "a", "position": 1, "score": 3e38}]}, "$.shown[0].score"),
    (
        IMPRESSION | {"user_id": "bad", "shown": [{"item_id": "a", "position": 1, "incoming_score": -3e38}]},
        "$.shown[0].incoming_score",
    ),
    (click(1, "bad") | {"type": "stare"}, "'stare' has no weight in data.event_weights"),
    (click(1, "bad") | {"user_id": ""}, "$.user_id"),
    (click(1, "bad") | {"colour": "red"}, "unknown field `colour`"),
    (click(1, "bad") | {"value": "much"}, "$.value"),
    (click(1, "bad") | {"record": "purchase"}, "'record' is 'purchase'; it may be item, user, impression, interaction"),
    (click(1, "bad") | {"record": 5}, "$.record"),
    ({"item_id": "a"}, "missing required field"),
    ("text", "Expected"),
    (7, "Expected"),
    ({key: IMPRESSION[key] for key in IMPRESSION if key != "shown"}, "missing required field `shown`"),
]


@pytest.mark.parametrize(("bad", "says"), BAD)
def test_a_bad_record_refuses_the_whole_batch_and_is_named(client: httpx.Client, bad: Any, says: str) -> None:
    status, body = send(client, {"events": [click(1, "bad"), bad]})
    assert status == 400
    assert "Record 1: " in body["error"]
    assert says in body["error"]
    assert client.get("/v1/users/bad").json()["records"] == []


def test_clocks_may_differ_a_little(client: httpx.Client) -> None:
    def at(seconds: float) -> dict[str, Any]:
        return click(int(seconds), "clock") | {
            "timestamp": (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        }

    assert send(client, at(290))[0] == 202
    assert send(client, at(320))[0] == 400
    assert send(client, at(-900) | {"received_at": at(290)["timestamp"]})[0] == 202
    assert send(client, at(-901) | {"received_at": at(320)["timestamp"]})[0] == 400
    # A client that says it was received before it happened: its clock is its affair.
    assert send(client, at(-902) | {"received_at": at(-990)["timestamp"]})[0] == 202


DEEP = b"[" * 20_000 + b"]" * 20_000


@pytest.mark.parametrize(
    "body", [DEEP, b'{"events": ' + DEEP + b"}", b'[{"record": "item", "attributes": ' + DEEP + b"}]"]
)
def test_lists_in_lists_in_lists(deep: Server, body: bytes) -> None:
    with deep.client() as client:
        for path in ("/v1/events", "/v1/rank", "/v1/models/liverank:predict"):
            assert client.post(path, content=body).status_code == 400
            assert client.post(path, content=body, headers={"content-type": "application/json"}).status_code == 400


@pytest.fixture(scope="module")
def deep(servers: Callable[..., Server]) -> Server:
    return servers().start()


@pytest.mark.parametrize("body", [b"", b"{", b"[1,", b'{"events": 5}', b'{"events": [], "more": 1}', b"5"])
def test_what_is_no_batch(client: httpx.Client, body: bytes) -> None:
    assert client.post("/v1/events", content=body).status_code == 400


def test_items_are_rankable_at_once(client: httpx.Client) -> None:
    def order() -> list[str]:
        return ids(client.post("/v1/rank", json={"user_id": "x", "candidates": ["old", "fresh", "newer"]}))

    assert order() == ["old", "fresh", "newer"]
    answer = client.put("/v1/items", json={"items": [{"item_id": "fresh", "title": "Brand new"}]})
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1, "new": 1})
    assert order() == ["fresh", "old", "newer"]
    assert client.put("/v1/items", json={"item_id": "fresh", "title": "Brand new"}).json()["new"] == 0
    assert send(client, {"record": "item", "item_id": "newer"}) == (202, {"accepted": 1, "new": 1})
    assert order() == ["fresh", "newer", "old"]


def test_only_items_at_their_door(client: httpx.Client) -> None:
    answer = client.put("/v1/items", json=[{"item_id": "x"}, click(1) | {"record": "interaction"}])
    assert answer.status_code == 400
    assert "Record 1 is no item" in answer.json()["error"]


def test_export_and_erase(client: httpx.Client) -> None:
    user = "a/b c%用户"
    quoted = "/v1/users/a%2Fb%20c%25%E7%94%A8%E6%88%B7"
    send(client, [click(1, user, "c"), click(2, "bystander")])
    before = ids(client.post("/v1/rank", json={"user_id": user, "candidates": ["a", "c"]}))
    assert before == ["c", "a"]
    assert {record["user_id"] for record in client.get(quoted).json()["records"]} == {user}
    erased = client.delete(quoted).json()
    assert erased["erased"] == 2
    assert erased["model_versions"]["answered"] == ["1"]
    assert erased["model_versions"]["may_have_learned"] == ["1"]
    assert erased["records"] == {"impression": 1, "interaction": 1}
    assert erased["signature"] is None
    assert "delete version 1 " in erased["to_do"][0]
    assert len(erased["certificate_id"]) == 32
    assert client.get(quoted).json() == {"user_id": user, "records": []}
    assert client.delete(quoted).json()["erased"] == 0
    assert ids(client.post("/v1/rank", json={"user_id": user, "candidates": ["a", "c"]})) == ["a", "c"]
    assert len(client.get("/v1/users/bystander").json()["records"]) == 1


def test_a_user_whose_name_holds_line_breaks_is_nobody_else(client: httpx.Client) -> None:
    names = ["line", "line\n", "line\nbreak"]
    for name in names:
        assert client.post("/v1/events", json=[click(1, name)]).status_code == 202
    for name in reversed(names):
        path = f"/v1/users/{quote(name)}"
        (record,) = client.get(path).json()["records"]
        assert record["user_id"] == name
        assert client.delete(path).json()["erased"] == 1
        assert client.get(path).json()["records"] == []
