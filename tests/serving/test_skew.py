"""A real server logs with each impression what it ranked with; the log, looked at later, agrees."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import httpx

from liverank.events import Impression
from liverank.features.digest import history_digest
from liverank.features.skew import check_skew, impressions_since
from liverank.store import open_store
from tests.serving.conftest import Server, click


def impressions(server: Server, count: int) -> list[Impression]:
    """The impressions in the log, once there are as many."""
    store = open_store(server.workspace / "live.db")
    try:
        for _ in range(200):
            found = list(impressions_since(store, None))
            if len(found) >= count:
                return found
            time.sleep(0.02)
    finally:
        store.close()
    raise AssertionError(f"{len(found)} impressions of {count}")


def test_what_was_ranked_with_is_what_the_log_says(server: Server, client: httpx.Client) -> None:
    for number in range(60):
        assert client.post("/v1/events", json=click(number)).status_code == 202
        if number % 20 == 0:
            asked = {"user_id": "u", "candidates": ["a", "b"]}
            assert client.post("/v1/rank", json=asked).status_code == 200
    assert client.post("/v1/rank", json={"user_id": "nobody", "candidates": ["a"]}).status_code == 200
    logged = impressions(server, 4)
    assert [one.history_digest.partition(":")[0] for one in logged] == ["1", "21", "41", "0"]
    store = open_store(server.workspace / "live.db")
    try:
        report = check_skew(store, logged, 50)
        assert (report.checked, report.differing) == (4, 0)
        assert history_digest(store.history("nobody", 50)) == logged[3].history_digest
        assert check_skew(store, logged, 20).differing == 2  # as if training had another history length
    finally:
        store.close()


def test_an_event_dated_ahead_waits_for_its_instant(server: Server, client: httpx.Client) -> None:
    """Training knows it only then; one dated as the server's clock says is in the next ranking."""
    before = len(impressions(server, 0))
    now, ahead = datetime.now(UTC), datetime.now(UTC) + timedelta(seconds=200)
    for number, at in enumerate((now, ahead)):
        event = click(number, "early") | {"timestamp": at.isoformat()}
        assert client.post("/v1/events", json=event).status_code == 202
    for context in ({}, {"timestamp": (ahead + timedelta(seconds=1)).isoformat()}):
        asked = {"user_id": "early", "candidates": ["a", "b"], "context": context}
        assert client.post("/v1/rank", json=asked).status_code == 200
    logged = [one for one in impressions(server, before + 2) if one.user_id == "early"]
    assert [one.history_digest.partition(":")[0] for one in logged] == ["1", "2"]
    store = open_store(server.workspace / "live.db")
    try:
        assert check_skew(store, logged, 50).differing == 0
    finally:
        store.close()
