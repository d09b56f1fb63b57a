"""Servers with faults: what the tests of this folder share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.serving.conftest import Server

Servers = Callable[..., Server]
SECONDS = 60
LOST = "history: the live store cannot be read"
UNRECORDED = "impression: not recorded"


def rank(client: httpx.Client, user: str = "u", candidates: str = "abc", **more: Any) -> httpx.Response:
    return client.post("/v1/rank", json={"user_id": user, "candidates": list(candidates), **more})


def events_of(client: httpx.Client, user: str = "u") -> list[dict[str, Any]]:
    """The interactions that the server has of a user."""
    answer = client.get(f"/v1/users/{user}")
    assert answer.status_code == 200, answer.text
    return [record for record in answer.json()["records"] if record["record"] == "interaction"]


def until(wanted: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not wanted():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def refused_for_now(answer: httpx.Response) -> str:
    """What the answer says, which has to be the contract's refusal: to be tried again."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    return str(answer.json()["error"])
