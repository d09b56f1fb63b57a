"""The part of docs/benchmarks.md on the live store: how soon a ranking shows an event that was acknowledged.

Three ways are measured in turns, so that whatever else the machine does meets all of them: a server on SQLite, a server
on Redis, and an event through one server on Redis that the ranking of a second one shows.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.counting_server import counting_server
from benchmarks.latency import HISTORY, Link, quantile
from benchmarks.page import Bar, bars, machine
from liverank.cli.demo.server import free_port

SQLITE, REDIS, ACROSS = "SQLite, one server", "Redis, one server", "Redis, event at one server, ranking at another"
CANDIDATES: Final = 100
WARM_UP: Final = 20
MOST_RANKINGS: Final = 1000
START_SECONDS: Final = 30
BAR_MS: Final = 10
START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class NoRedis(Exception):
    """There is no redis-server on this machine."""


@dataclass
class Way:
    """One way from an event to a ranking, and what was measured of it."""

    name: str
    writer: Link
    reader: Link
    acknowledged: list[float] = field(default_factory=list)
    """Milliseconds from sending an event to its acknowledgement."""
    shown: list[float] = field(default_factory=list)
    """Milliseconds from there to the whole answer that shows it."""
    rankings: list[int] = field(default_factory=list)
    """How many rankings it took: 1 where the first one asked for shows the event."""


def run(work: Path, events: int) -> str:
    """The part's text.

    Args:
        work: folder for the stores.
        events: measured for each way.

    Raises:
        NoRedis: there is no redis-server.
    """
    with ExitStack() as open_until_here:
        redis = open_until_here.enter_context(redis_server(work / "redis"))
        place = f"serving.store={redis}"
        urls = [
            open_until_here.enter_context(counting_server(work / name, *settings))
            for name, settings in (("sqlite", ()), ("one", (place,)), ("other", (place,)))
        ]
        sqlite, one, other = urls
        pairs = ((SQLITE, sqlite, sqlite), (REDIS, one, one), (ACROSS, one, other))
        ways = [Way(name, Link(writer), Link(reader)) for name, writer, reader in pairs]
        measure(ways, events)
    return part(machine("python -m benchmarks --part read-your-writes"), redis_version(), ways)


def measure(ways: Sequence[Way], events: int) -> None:
    """Sends events by each way in turns; each user has a history, and each event makes one item the first.

    Raises:
        RuntimeError: an event was refused, or no ranking shows it.
    """
    items = [f"item-{number}" for number in range(CANDIDATES)]
    for number in range(WARM_UP + events):
        # Any but the first, which leads a list of equals.
        item = items[1 + number % (CANDIDATES - 1)]
        for place, way in enumerate(ways):
            # Each way has users of its own: two of them share a store.
            user = f"user-{place}-{number}"
            _send(way, [_event(user, past, f"past-{past}") for past in range(HISTORY)])
            acknowledged, shown, rankings = _one(way, user, item, {"user_id": user, "candidates": items})
            if number >= WARM_UP:
                way.acknowledged.append(acknowledged)
                way.shown.append(shown)
                way.rankings.append(rankings)


def _one(way: Way, user: str, item: str, question: Mapping[str, Any]) -> tuple[float, float, int]:
    """Milliseconds to the acknowledgement, from there to the ranking, and how many rankings that took."""
    body = json.dumps(question)
    begin = time.perf_counter()
    _send(way, [_event(user, HISTORY, item)])
    acknowledged = time.perf_counter()
    for rankings in range(1, MOST_RANKINGS + 1):
        status, answer = way.reader.send("POST", "/v1/rank", body)
        shown = time.perf_counter()
        if status == 200 and json.loads(answer)["ranking"][0]["item_id"] == item:
            return (acknowledged - begin) * 1000, (shown - acknowledged) * 1000, rankings
    raise RuntimeError(f"{way.name}: no ranking shows an acknowledged event: {status} {answer.decode()}")


def _send(way: Way, events: Sequence[dict[str, str]]) -> None:
    status, answer = way.writer.send("POST", "/v1/events", json.dumps(events))
    if status != 202:
        raise RuntimeError(f"{way.name}: an event was refused: {status} {answer.decode()}")


def _event(user: str, number: int, item: str) -> dict[str, str]:
    at = (START + timedelta(minutes=number)).isoformat()
    return {"event_id": f"{user}-{number}", "user_id": user, "item_id": item, "type": "click", "timestamp": at}


def part(where: str, redis: str, ways: Sequence[Way]) -> str:
    """The part's text; `where` is `page.machine`."""
    text = (
        "# Read your writes\n\n" + where + f"Milliseconds over HTTP on one connection, {len(ways[0].shown):,} events "
        f"each way in turns, users with {HISTORY} events, {CANDIDATES} candidates, a model that counts events; "
        f"{redis}, `appendonly yes`, `appendfsync always`; servers, Redis and client on the same cores. "
        "*Acknowledged* is from sending an event to its 202, *shown* from there to the end of the first ranking that "
        "shows it.\n\n"
    )
    worst = max(ways, key=lambda way: quantile(sorted(way.shown), 0.99))
    text += bars([Bar(f"shown, p99 ({worst.name})", quantile(sorted(worst.shown), 0.99), BAR_MS, "ms")])
    text += "\n| | acknowledged p50 | p99 | shown p50 | p99 | not in the first ranking |\n"
    text += "|---|---:|---:|---:|---:|---:|\n"
    for way in ways:
        figures = [quantile(sorted(taken), share) for taken in (way.acknowledged, way.shown) for share in (0.5, 0.99)]
        cells = " | ".join(f"{figure:.2f}" for figure in figures)
        text += f"| {way.name} | {cells} | {sum(count > 1 for count in way.rankings):,} |\n"
    return text


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis that syncs every write to disk; yields its URL.

    Raises:
        NoRedis: there is none on this machine, or it does not start.
    """
    if shutil.which("redis-server") is None:
        raise NoRedis("There is no redis-server: install Debian's package redis-server.")
    folder.mkdir(parents=True)
    port = free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "yes"]
    process = subprocess.Popen(
        ["redis-server", *words, "--appendfsync", "always"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError as problem:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoRedis("redis-server does not start.") from problem
            time.sleep(0.05)


def redis_version() -> str:
    """`Redis 7.0.15`, say."""
    said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\S+)", said)
    return f"Redis {found[1]}" if found else "Redis"
