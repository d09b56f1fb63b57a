"""Requests of every kind to both servers, and what became of each.

A request goes to the servers in turn, and to the other one where the first cannot take it, as any client of several
replicas does. Three ends are right: an answer; the refusal that docs/serving.md names, 503 with `Retry-After`, by both;
and no connection to a server that was killed, where the other one answers. Everything else is a failure.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from benchmarks.soak.processes import Replica
from liverank.events import Interaction

RANK, EVENTS, ITEMS = "rank", "events", "items"
MIX: Final = {RANK: 80, EVENTS: 18, ITEMS: 2}
"""Of a hundred requests."""
USERS: Final = 500
CANDIDATES: Final = 100
SHOWN: Final = 10
EVENTS_A_CALL: Final = 100
LIVE_ITEMS: Final = 50
"""Items that come and change over the wire; a fixed number, since each more is memory that a server rightly keeps."""
TYPES: Final = ("view", "click", "cart", "purchase")
MOST_OPEN: Final = 400
"""Requests that may be open at once; what comes due beyond is not sent, and counted."""
TIMEOUT_SECONDS: Final = 60.0
MOST_TOLD: Final = 20
SEED: Final = 3


@dataclass
class Tally:
    """What became of the requests."""

    sent: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """By both servers, to be sent again later."""
    failed: Counter[str] = field(default_factory=Counter)
    """By what went wrong."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Of single servers, by what they said."""
    unreachable: int = 0
    """Attempts at a server that was killed."""
    held_back: int = 0
    degraded: Counter[str] = field(default_factory=Counter)
    milliseconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in MIX})
    """From the planned time of a request to its answer, whichever server it came from in the end."""
    acknowledged: dict[str, Interaction] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    """Events that were sent and not acknowledged: they may be there or not."""

    def fail(self, what: str) -> None:
        """Counts a failure, of which only the first words tell."""
        self.failed[what[:200]] += 1


class Traffic:
    """Makes requests and sends them."""

    def __init__(self, replicas: Sequence[Replica], items: Sequence[str]) -> None:
        self.tally = Tally()
        self._replicas = replicas
        self._items = [*items, *(f"live-{number}" for number in range(LIVE_ITEMS))]
        self._draw = random.Random(SEED)
        # Connections go before the server lets them go: one that it closes while a request is on its way fails.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=2)
        self._http = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, limits=limits)
        self._number = 0
        self._open: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Waits for what is open, then closes the connections."""
        while self._open:
            await asyncio.wait(self._open)
        await self._http.aclose()

    async def fill(self, events: int) -> None:
        """Gives every user so many events, by as many callers as there are servers."""
        users = iter(f"soak-{number}" for number in range(USERS))

        async def work() -> None:
            for user in users:
                for begin in range(0, events, EVENTS_A_CALL):
                    await self._post_events([self._event(user) for _ in range(min(EVENTS_A_CALL, events - begin))])

        await asyncio.gather(*(work() for _ in self._replicas))

    async def capacity(self, seconds: float, workers: int = 16) -> float:
        """Requests a second that are answered when each worker asks again as soon as it has its answer."""
        until = time.monotonic() + seconds
        before = self._answered()

        async def work() -> None:
            while time.monotonic() < until:
                await self._one(time.monotonic())

        started = time.monotonic()
        await asyncio.gather(*(work() for _ in range(workers)))
        return (self._answered() - before) / (time.monotonic() - started)

    async def keep_coming(self, rate: float, ended: Callable[[], bool]) -> None:
        """Sends `rate` requests a second at fixed times, whatever the answers take, until it has `ended`."""
        begin, number = time.monotonic(), 0
        while not ended():
            planned = begin + number / rate
            await asyncio.sleep(max(0.0, planned - time.monotonic()))
            number += 1
            if len(self._open) >= MOST_OPEN:
                self.tally.held_back += 1
                continue
            task = asyncio.create_task(self._one(planned))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def export(self, user: str) -> list[Interaction]:
        """The events that the store holds of a user."""
        answer = await self._asked("export", "GET", f"/v1/users/{user}", None)
        if answer is None:
            raise RuntimeError(f"user {user} cannot be exported: {dict(self.tally.failed)}")
        records = json.loads(answer.content)["records"]
        return [decoded(record) for record in records if record["record"] == "interaction"]

    def _answered(self) -> int:
        return sum(map(len, self.tally.milliseconds.values()))

    async def _one(self, planned: float) -> None:
        (kind,) = self._draw.choices(list(MIX), list(MIX.values()))
        self.tally.sent[kind] += 1
        answer = await {RANK: self._rank, EVENTS: self._send_events, ITEMS: self._send_item}[kind]()
        if answer is not None:
            self.tally.milliseconds[kind].append((time.monotonic() - planned) * 1000)

    async def _rank(self) -> httpx.Response | None:
        body = {"user_id": self._user(), "candidates": self._draw.sample(self._items, CANDIDATES), "k": SHOWN}
        answer = await self._asked(RANK, "POST", "/v1/rank", body)
        if answer is not None:
            said = answer.json()
            if len(said["ranking"]) != SHOWN:
                self.tally.fail(f"a ranking of {len(said['ranking'])} items")
            self.tally.degraded.update(said["degraded"])
        return answer

    async def _send_events(self) -> httpx.Response | None:
        user = self._user()
        return await self._post_events([self._event(user) for _ in range(self._draw.randint(1, 3))])

    async def _post_events(self, events: list[dict[str, Any]]) -> httpx.Response | None:
        self.tally.unknown.update(event["event_id"] for event in events)
        answer = await self._asked(EVENTS, "POST", "/v1/events", events)
        if answer is not None:
            if answer.json()["accepted"] != len(events):
                self.tally.fail(f"{len(events)} events sent, {answer.text}")
            self.tally.acknowledged.update((event["event_id"], decoded(event)) for event in events)
            self.tally.unknown.difference_update(event["event_id"] for event in events)
        return answer

    async def _send_item(self) -> httpx.Response | None:
        words = " ".join(self._draw.choices(("copper", "oak", "blue", "linen", "kettle", "lamp", "desk"), k=6))
        item = {"item_id": f"live-{self._draw.randrange(LIVE_ITEMS)}", "title": words, "category": "kitchen"}
        return await self._asked(ITEMS, "PUT", "/v1/items", item)

    def _user(self) -> str:
        return f"soak-{self._draw.randrange(USERS)}"

    def _event(self, user: str) -> dict[str, Any]:
        return {
            "event_id": uuid.uuid4().hex,
            "user_id": user,
            "item_id": self._draw.choice(self._items),
            "type": self._draw.choice(TYPES),
            "timestamp": datetime.now(UTC).isoformat(),
            "value": round(self._draw.uniform(0.1, 99), 2),
            "session_id": f"session-{self._draw.randrange(10**6)}",
            "context": {"device": self._draw.choice(("mobile", "desktop"))},
        }

    async def _asked(self, kind: str, method: str, path: str, body: Any) -> httpx.Response | None:
        """The answer of the first server that gives one; None, and counted, where none does."""
        content = None if body is None else json.dumps(body)
        self._number += 1
        first, refused = self._number % len(self._replicas), False
        for replica in (*self._replicas[first:], *self._replicas[:first]):
            started = time.monotonic()
            try:
                answer = await self._http.request(method, replica.url + path, content=content)
            except httpx.TransportError as problem:
                if not replica.was_down_since(started):
                    self.tally.fail(f"{kind}: {type(problem).__name__} {problem}")
                    return None
                self.tally.unreachable += 1
                continue
            if answer.is_success:
                return answer
            if answer.status_code != 503 or not answer.headers.get("retry-after", "").isdecimal():
                self.tally.fail(f"{kind}: {answer.status_code} {answer.text}")
                return None
            refused = True
            self.tally.refusals[f"{kind}: {answer.json()['error']}"] += 1
        if refused:
            self.tally.refused[kind] += 1
        else:
            self.tally.fail(f"{kind}: no server answers")
        return None


def decoded(event: dict[str, Any]) -> Interaction:
    """An event as the contract has it, whatever its JSON looks like."""
    import msgspec

    return msgspec.convert({"record": "interaction", **event}, Interaction)
