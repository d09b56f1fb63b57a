"""A server whose clock is set back: nothing is lost or doubled, and what has been waits until its time comes again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.serving.conftest import click, ids
from tests.serving.faults.conftest import Servers, events_of, rank
from tests.store.redis_server import RedisServer

HOOKED = ("-m", "tests.serving.faults.hooked")
PATIENT = ("store.read_timeout_ms=5000", "store.write_timeout_ms=20000")
HOUR = 3600


def now(number: int, item: str, seconds: float = 0.0) -> dict[str, Any]:
    """A click of a moment ago, by a clock that is so many seconds off."""
    at = datetime.now(UTC) + timedelta(seconds=seconds - 1)
    return {**click(number, item=item), "timestamp": at.isoformat()}


@pytest.mark.parametrize("place", ["file", "redis"])
def test_a_clock_that_is_set_back(servers: Servers, redis: RedisServer, place: str, tmp_path: Any) -> None:
    store = (f"serving.store={redis.url(tmp_path)}", *PATIENT) if place == "redis" else ()
    server = servers(*store, command=HOOKED).start()
    clock = server.workspace / "clock"
    with server.client() as client:
        assert client.post("/v1/events", json=[now(1, "c"), now(2, "c")]).json() == {"accepted": 2, "new": 2}
        assert ids(rank(client))[0] == "c"
        first = rank(client).json()["impression_id"]

        clock.write_text(str(-HOUR))
        # By the clock of now these two are to come: a ranking of this instant does not know them, as training will not.
        answer = rank(client)
        assert (ids(answer), answer.json()["degraded"]) == (["a", "b", "c"], [])
        refused = client.post("/v1/events", json=now(3, "b"))
        assert refused.status_code == 400
        assert "lies in the future by the server's clock" in refused.json()["error"]
        assert client.post("/v1/events", json=now(4, "b", -HOUR)).json() == {"accepted": 1, "new": 1}
        assert client.post("/v1/events", json=now(4, "b", -HOUR)).json() == {"accepted": 1, "new": 0}
        assert ids(rank(client))[0] == "b"
        assert client.put("/v1/items", json={"item_id": "a", "title": "New"}).status_code == 200
        # The log stays in the order of arrival, whatever clock each record came by.
        assert [event["event_id"] for event in events_of(client)] == ["u-1", "u-2", "u-4"]

        clock.unlink()
        assert client.post("/v1/events", json=now(3, "b")).json() == {"accepted": 1, "new": 1}
        assert [event["event_id"] for event in events_of(client)] == ["u-1", "u-2", "u-4", "u-3"]
        assert {tuple(ids(rank(client, candidates=order)))[-1] for order in ("abc", "cba")} == {"a"}
        kept = [one["impression_id"] for one in client.get("/v1/users/u").json()["records"] if "impression_id" in one]
        assert first in kept
        assert client.delete("/v1/users/u").json()["erased"] > 4
        assert events_of(client) == []
    assert server.kill() == 143
    assert "Traceback" not in server.output()
