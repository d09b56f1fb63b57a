"""Latency of `POST /v1/rank` at a fixed rate: open loop, so that a slow answer delays nobody but itself.

`python -m benchmarks.latency URL [--candidates 500] [--rate 50] [--seconds 20]` prints one JSON line. The users asked
for are given a history of 50 events first; candidates and histories come from `items`, the catalogue's ids.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

HISTORY = 50
USERS = 50
CONNECTIONS = 4
WARM_UP_REQUESTS = 20
SEED = 11


def run(
    url: str,
    candidates: int,
    rate: float,
    seconds: float,
    items: Sequence[str] = (),
    token: str = "",
    users: int = USERS,
) -> dict[str, float]:
    """Asks for rankings at `rate` requests a second for `seconds`.

    Args:
        url: the server's.
        candidates: items in each list.
        rate: requests a second, at fixed times whatever the answers take.
        seconds: how long.
        items: ids to draw candidates and histories from; default invented ones, which a model treats as unknown.
        token: bearer token, if the server wants one.
        users: users that take turns; each gets a history of 50 events.

    Returns:
        p50, p95, p99, max and mean in ms from the planned time of a request to its whole answer; the
        server's own medians in ms (waiting, model, total); count, errors (other statuses than 200), degraded.
    """
    pool = list(items) or [f"item-{number}" for number in range(max(candidates, 1000))]
    draw = random.Random(SEED)
    link = Link(url, token)
    fill_histories(link, {f"latency-{user}": [draw.choice(pool) for _ in range(HISTORY)] for user in range(users)})
    size = min(candidates, len(pool))
    bodies = [
        json.dumps({"user_id": f"latency-{number % users}", "candidates": draw.sample(pool, size)})
        for number in range(200)
    ]
    for body in bodies[:WARM_UP_REQUESTS]:
        link.send("POST", "/v1/rank", body)
    return _summary(_drive(url, token, bodies, rate, seconds))


class Link:
    """One kept-alive connection."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})

    def send(self, method: str, path: str, body: str) -> tuple[int, bytes]:
        """Status and body of the answer."""
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


def fill_histories(link: Link, histories: Mapping[str, Sequence[str]]) -> None:
    """Sends a click on each item of each user's history, a minute apart, oldest first.

    Raises:
        RuntimeError: the server refused them.
    """
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for user, items in histories.items():
        events = [
            {
                "event_id": f"{user}-{number}",
                "user_id": user,
                "item_id": item,
                "type": "click",
                "timestamp": (start + timedelta(minutes=number)).isoformat(),
            }
            for number, item in enumerate(items)
        ]
        status, answer = link.send("POST", "/v1/events", json.dumps(events))
        if status != 202:
            raise RuntimeError(f"the server refused the histories: {status} {answer.decode()}")


def _drive(url: str, token: str, bodies: Sequence[str], rate: float, seconds: float) -> list[tuple[float, int, bytes]]:
    """Milliseconds, status and body of each answer; connection c sends the requests c, c + CONNECTIONS, ..."""
    total = int(rate * seconds)
    answers: list[tuple[float, int, bytes]] = []
    begin = time.perf_counter() + 0.2

    def work(first: int) -> None:
        link = Link(url, token)
        for number in range(first, total, CONNECTIONS):
            planned = begin + number / rate
            time.sleep(max(0.0, planned - time.perf_counter()))
            status, answer = link.send("POST", "/v1/rank", bodies[number % len(bodies)])
            answers.append(((time.perf_counter() - planned) * 1000, status, answer))

    threads = [threading.Thread(target=work, args=(first,)) for first in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def _summary(answers: Sequence[tuple[float, int, bytes]]) -> dict[str, float]:
    taken = sorted(milliseconds for milliseconds, _, _ in answers)
    good = [json.loads(answer) for _, status, answer in answers if status == 200]
    server = {part: sorted(answer["timing_ms"][part] for answer in good) for part in ("queue", "model", "total")}
    return {
        **{f"p{share}": round(quantile(taken, share / 100), 3) for share in (50, 95, 99)},
        "max": round(taken[-1], 3),
        "mean": round(sum(taken) / len(taken), 3),
        **{f"server_{part}_p50": round(quantile(values, 0.5), 3) for part, values in server.items() if values},
        "count": len(taken),
        "errors": len(answers) - len(good),
        "degraded": sum(bool(answer["degraded"]) for answer in good),
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share of the ordered ones lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--items", default="", help="Parquet file with a column item_id to draw from")
    options = parser.parse_args()
    items: list[Any] = []
    if options.items:
        import pyarrow.parquet as pq

        items = pq.read_table(options.items, columns=["item_id"]).column(0).to_pylist()
    token = os.environ.get("LIVERANK_TOKEN", "")
    print(json.dumps(run(options.url, options.candidates, options.rate, options.seconds, items, token)))


if __name__ == "__main__":
    main()
