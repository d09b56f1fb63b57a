"""Live users: each asks the server for a ranking, looks at it, and answers with events."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from liverank.events import encode_record

if TYPE_CHECKING:
    from liverank.data.traffic import LiveRequest, World

JSON = {"content-type": "application/json"}


@dataclass
class Tally:
    """What the traffic met."""

    requests: int = 0
    failures: list[str] = field(default_factory=list)
    events: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Counts what another tally counted."""
        self.requests += other.requests
        self.failures += other.failures
        self.events += other.events
        self.versions.update(other.versions)
        self.degraded.update(other.degraded)


@dataclass
class Traffic:
    """Drives `world` against the server at `url`; safe to use from several threads."""

    world: World
    url: str
    tally: Tally = field(default_factory=Tally)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, impressions: int, users: int = 3) -> Tally:
        """Serves `impressions` requests from `users` threads and returns the tally of these alone."""
        self.tally = Tally()
        source = self.world.requests(impressions)
        threads = [threading.Thread(target=self._drain, args=(source,)) for _ in range(users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.tally

    def _drain(self, source: Iterator[LiveRequest]) -> None:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while (request := self._next(source)) is not None:
                self._serve(client, request)

    def _next(self, source: Iterator[LiveRequest]) -> LiveRequest | None:
        with self._lock:
            return next(source, None)

    def _serve(self, client: httpx.Client, request: LiveRequest) -> None:
        try:
            answer = rank(client, request)
            ranked = [line["item_id"] for line in answer["ranking"]]
            with self._lock:
                reactions = self.world.react(request, ranked, answer["impression_id"])
            send(client, reactions)
        except (httpx.HTTPError, KeyError) as problem:
            with self._lock:
                self.tally.failures.append(f"{type(problem).__name__}: {problem}")
            return
        with self._lock:
            self.tally.requests += 1
            self.tally.events += len(reactions)
            self.tally.versions[str(answer["model_version"])] += 1
            self.tally.degraded.update(answer["degraded"])


def rank(client: httpx.Client, request: LiveRequest) -> dict[str, Any]:
    """One ranking, as `POST /v1/rank` answers it."""
    body = {
        "user_id": request.user_id,
        "candidates": list(request.candidates),
        "context": {**request.context, "timestamp": request.timestamp.isoformat()},
        "surface": request.surface,
        "session_id": request.session_id,
    }
    answer = client.post("/v1/rank", json=body)
    answer.raise_for_status()
    result: dict[str, Any] = answer.json()
    return result


def send(client: httpx.Client, records: Sequence[Any]) -> None:
    """A batch of records, durable when this returns."""
    if records:
        body = b'{"events":[' + b",".join(encode_record(record) for record in records) + b"]}"
        client.post("/v1/events", content=body, headers=JSON).raise_for_status()
