"""The part of docs/benchmarks.md on the server: latency, throughput, processor time and memory under load, side by side
with what HTTP alone costs and with a cross-encoder behind FastAPI.

All servers run at once on one core and are loaded in turns from another, so that whatever else the machine does meets
all of them. What the bars in milliseconds are on is measured after that: one server alone, on all cores.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.latency import Link, fill_histories
from benchmarks.load import Tally, Target, at_rate, closed, rank_bodies, usage
from benchmarks.measure import measure, say
from benchmarks.page import machine
from benchmarks.serving_page import ANEW, CROSS_ENCODER, FLOOR, NO_SERVER, Cell, Measurements, part
from benchmarks.serving_world import CASCADE, COUNT, HISTORY, INTEREST, SEED, World, make
from liverank.cli.demo.server import free_port, stop

SIZES: Final = (20, 100, 500, 1_000)
CLIENTS: Final = (1, 8, 32)
RATES: Final = (50, 200)
OPEN_SIZES: Final = (100, 500)
CROSS_ENCODER_SIZES: Final = (20, 100)
"""Beyond, one of its requests takes so long that the others would wait for it all day."""
BAR_RATE, BAR_SIZE = 50, 500
LEAST_ALONE_SECONDS: Final = 20.0
"""A thousand requests, of which the ten slowest say where the 99th percentile is."""
BODIES: Final = 200
WARM_UP_SECONDS: Final = 0.5
START_SECONDS: Final = 300


@dataclass(frozen=True)
class Server:
    """One that is loaded."""

    name: str
    url: str
    pid: int

    def target(self, world: World, size: int) -> Target:
        """Its requests for lists of a size."""
        return Target(f"{self.url}/v1/rank", rank_bodies(world.items, size, world.users, BODIES, SEED))


def run(work: Path, seconds: float) -> str:
    """The part's text.

    Args:
        work: an empty folder.
        seconds: of requests for each figure.
    """
    work.mkdir(parents=True, exist_ok=True)
    world = make(work)
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as running:
        servers = [running.enter_context(server) for server in _servers(world, work, cores[0])]
        os.sched_setaffinity(0, {cores[-1]})
        try:
            found = _measured(servers, world, seconds)
        finally:
            os.sched_setaffinity(0, set(cores))
    found.alone = list(_alone(world, work / "alone", max(seconds, LEAST_ALONE_SECONDS)))
    return part(machine(f"make bench-serving ARGS='--load-seconds {seconds:g}'"), found)


def _servers(world: World, work: Path, core: int) -> Iterator[AbstractContextManager[Server]]:
    yield _running(FLOOR, work, core, ["benchmarks.peers", FLOOR])
    for name, forgetful in ((COUNT, False), (COUNT, True), (INTEREST, False), (INTEREST, True), (CASCADE, False)):
        yield _ours(world, work, core, name, forgetful)
    files = [str(world.titles_file), str(world.histories_file)]
    yield _running(CROSS_ENCODER, work, core, ["benchmarks.peers", CROSS_ENCODER], files)


def _ours(world: World, work: Path, core: int | None, name: str, forgetful: bool) -> AbstractContextManager[Server]:
    memory = ["-s", "serving.history_cache_mib=0"] if forgetful else []
    command = ["liverank.cli", "serve", "--bundle", str(world.bundles[name]), *memory]
    return _running(name + ANEW if forgetful else name, work, core, command)


@contextmanager
def _running(
    name: str, work: Path, core: int | None, command: Sequence[str], files: Sequence[str] = ()
) -> Iterator[Server]:
    """A server on one core with one thread for arithmetic, or, where `core` is None, as anybody starts it."""
    port, folder = free_port(), work / f"server {name}"
    folder.mkdir(parents=True)
    settings = {"workspace": str(folder), "serving.http_port": port, "serving.grpc_port": 0}
    ours = [word for key, value in settings.items() for word in ("-s", f"{key}={value}")]
    given = ours if "serve" in command else [str(port), *files]
    pinned, threads = ([], {}) if core is None else (["taskset", "-c", str(core)], {"OMP_NUM_THREADS": "1"})
    whole = [*pinned, sys.executable, "-m", *command, *given]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(whole, stdout=log, stderr=log, env={**os.environ, **threads}, start_new_session=True)
    try:
        _wait(process, port, folder / "log")
        print(f"{name}: started", flush=True)
        yield Server(name, f"http://127.0.0.1:{port}", process.pid)
    finally:
        stop(process)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-4000:]}")


def _measured(servers: Sequence[Server], world: World, seconds: float) -> Measurements:
    ours = [server for server in servers if server.name not in (FLOOR, CROSS_ENCODER)]
    for server in ours:
        fill_histories(Link(server.url), world.histories)
    found = Measurements()
    for size in SIZES:
        for clients in CLIENTS:
            for server in servers:
                if _is_asked(server, size, clients):
                    closed(server.target(world, size), clients, WARM_UP_SECONDS)
                    cell = _cell(server, size, partial(closed, clients=clients, seconds=seconds), world)
                    found.closed[clients].append(cell)
    for rate in RATES:
        for size in OPEN_SIZES:
            for server in ours:
                if server.name != CASCADE:
                    cell = _cell(server, size, partial(at_rate, rate=rate, seconds=seconds), world)
                    found.open[rate].append(cell)
    found.overheads = {(server.name, size): _overhead(server, world, size) for server in ours for size in OPEN_SIZES}
    found.rss_mib = {server.name: usage(server.pid).rss_mib for server in servers}
    return found


def _alone(world: World, work: Path, seconds: float) -> Iterator[Cell]:
    """Each server with the interest model by itself, its client on the same cores; then the model without a server."""
    for forgetful in (False, True):
        with _ours(world, work, None, INTEREST, forgetful) as server:
            fill_histories(Link(server.url), world.histories)
            at_rate(server.target(world, BAR_SIZE), BAR_RATE, WARM_UP_SECONDS)
            yield _cell(server, BAR_SIZE, partial(at_rate, rate=BAR_RATE, seconds=seconds), world)
    asked = {"size": BAR_SIZE, "history": HISTORY, "rate": BAR_RATE, "seconds": seconds}
    done = measure("serving_paced", bundle=str(world.bundles[INTEREST]), **asked)
    say(done)
    figures = dict(done.result)
    yield Cell(NO_SERVER, BAR_SIZE, figures.pop("cpu_ms"), figures)


def _is_asked(server: Server, size: int, clients: int) -> bool:
    return server.name != CROSS_ENCODER or (size in CROSS_ENCODER_SIZES and clients == 1)


def _cell(server: Server, size: int, load: Callable[[Target], Tally], world: World) -> Cell:
    before = usage(server.pid).cpu_seconds
    tally = load(server.target(world, size))
    cpu = 1000 * (usage(server.pid).cpu_seconds - before) / max(1, len(tally.seconds))
    cell = Cell(server.name, size, cpu, tally.figures())
    print(f"{server.name}, {size} candidates: {cell.figures}", flush=True)
    return cell


def _overhead(server: Server, world: World, size: int) -> float:
    """Median ms that the server takes of a request beside its model's and the wait for it, on one connection."""
    link, spent = Link(server.url), list[float]()
    for body in rank_bodies(world.items, size, world.users, BODIES, SEED):
        _, answer = link.send("POST", "/v1/rank", body.decode())
        timing = json.loads(answer)["timing_ms"]
        spent.append(timing["total"] - timing["model"] - timing["queue"])
    return statistics.median(spent)
