"""The soak itself: capacity first, then requests, swaps and faults at their times, then what is left is compared."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from benchmarks.soak import world
from benchmarks.soak.checks import (
    Check,
    events_check,
    faults_check,
    memory_check,
    rankings_check,
    requests_check,
    swaps_check,
)
from benchmarks.soak.memory import Memory
from benchmarks.soak.plan import Plan
from benchmarks.soak.processes import Redis, Replica
from benchmarks.soak.traffic import USERS, Tally, Traffic
from benchmarks.soak.world import Size
from liverank.config.store_place import VARIABLE
from liverank.events import Interaction

SERVERS: Final = 2
SAY_SECONDS: Final = 30.0


@dataclass
class Outcome:
    """What a soak showed."""

    plan: Plan
    seconds: float
    """Of requests."""
    capacity: float
    """Requests a second."""
    rate: float
    """Requests a second that were asked for."""
    tally: Tally
    memories: list[Memory]
    checks: list[Check]
    happened: list[str] = field(default_factory=list)
    """What was done to servers and Redis, with its second."""


def run(work: Path, plan: Plan, size: Size | None = None) -> Outcome:
    """Soaks two servers on one Redis.

    Args:
        work: an empty folder.
        plan: how long, and what happens when.
        size: of the world that the models are trained on.

    Raises:
        NoRedis: there is no redis-server.
        RuntimeError: a server did not start, or a user cannot be exported at the end.
    """
    redis = Redis(work / "redis")
    replicas: list[Replica] = []
    try:
        redis.start()
        items = world.make(work, size or Size())
        for number in range(1, SERVERS + 1):
            at = world.configuration(work, work / f"server-{number}")
            replicas.append(Replica(f"server {number}", at, {VARIABLE: redis.url}))
        with ThreadPoolExecutor(SERVERS) as starting:
            # All at once: a start is mostly imports, which take one core each.
            list(starting.map(Replica.start, replicas))
        return asyncio.run(_Soak(plan, redis, replicas, items).run())
    finally:
        for replica in replicas:
            replica.close()
        redis.close()


class _Soak:
    def __init__(self, plan: Plan, redis: Redis, replicas: Sequence[Replica], items: Sequence[str]) -> None:
        self._plan = plan
        self._redis = redis
        self._replicas = replicas
        self._items = items
        self._one_at_a_time = asyncio.Lock()
        self._happened: list[str] = []
        self._swaps = 0
        self._seconds = 0.0
        self._troubles: list[str] = []
        self._samples: dict[tuple[str, int], Memory] = {}

    async def run(self) -> Outcome:
        """Measures, soaks, compares."""
        before = Traffic(self._replicas, self._items)
        # What a server holds of its users is bounded: whether it grows beyond is seen where the bound is reached.
        await before.fill(self._plan.events)
        capacity = await before.capacity(self._plan.capacity_seconds)
        await before.close()
        rate = self._plan.share * capacity
        _say(f"capacity {capacity:.0f} requests a second; {self._plan.seconds:.0f} s at {rate:.0f}")
        traffic = Traffic(self._replicas, self._items)
        # What was acknowledged while the capacity was measured has to be there too.
        traffic.tally.acknowledged.update(before.tally.acknowledged)
        traffic.tally.unknown.update(before.tally.unknown)
        traffic.tally.failed.update(before.tally.failed)
        await self._soak(traffic, rate)
        _say("requests have ended; each user is exported")
        kept = {user: await traffic.export(user) for user in (f"soak-{number}" for number in range(USERS))}
        await traffic.close()
        checks = self._checks(traffic.tally, kept)
        return Outcome(self._plan, self._seconds, capacity, rate, traffic.tally, self._memories, checks, self._happened)

    @property
    def _now(self) -> float:
        """Seconds since the requests began."""
        return time.monotonic() - self._begin

    async def _soak(self, traffic: Traffic, rate: float) -> None:
        self._begin = time.monotonic()
        beside = [asyncio.create_task(of) for of in (self._sample(), self._progress(traffic.tally))]
        faults = [asyncio.create_task(of) for of in (self._swap_all(), self._restart_redis(), self._kill())]
        try:
            # On a machine so busy that a server takes long to start, until all has happened.
            await traffic.keep_coming(rate, lambda: self._now >= self._plan.seconds and all(of.done() for of in faults))
            self._seconds = self._now
            await asyncio.gather(*faults)
        finally:
            for task in (*beside, *faults):
                task.cancel()

    @property
    def _memories(self) -> list[Memory]:
        """Of the processes that live."""
        found = (self._samples.get((replica.name, replica.pid)) for replica in self._replicas)
        return [memory for memory in found if memory is not None]

    def _checks(self, tally: Tally, kept: Mapping[str, Sequence[Interaction]]) -> list[Check]:
        memories = [memory_check(of, of.last_third(self._seconds)) for of in self._memories]
        swaps = swaps_check(len(list(self._plan.swaps())), self._troubles, self._swaps)
        asked = [requests_check(tally), rankings_check(tally), faults_check(tally)]
        return [*asked, events_check(tally, kept), swaps, *memories]

    async def _until(self, second: float) -> None:
        await asyncio.sleep(max(0.0, self._begin + second - time.monotonic()))

    async def _restart_redis(self) -> None:
        for at, number in zip(self._plan.redis_restarts, (signal.SIGTERM, signal.SIGKILL), strict=True):
            await self._until(at)
            async with self._one_at_a_time:
                self._tell(f"Redis ends by {number.name} and starts again")
                await asyncio.to_thread(self._redis.restart, number)

    async def _kill(self) -> None:
        await self._until(self._plan.kill)
        async with self._one_at_a_time:
            self._tell(f"{self._replicas[0].name} is killed and starts again")
            await asyncio.to_thread(self._replicas[0].restart)

    async def _swap_all(self) -> None:
        for number, at in enumerate(self._plan.swaps(), 1):
            await self._until(at)
            async with self._one_at_a_time:
                version = world.VERSIONS[number % len(world.VERSIONS)]
                self._tell(f"swap to version {version}")
                await self._swap(version)

    async def _swap(self, version: str) -> None:
        configuration = str(self._replicas[0].log.with_name("liverank.yaml"))
        command = ["-m", "liverank.cli", "promote", version, "--reason", "the soak goes on", "--config", configuration]
        # In a process of its own: MLflow would hold this one's requests up.
        promoting = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await promoting.communicate()
        if promoting.returncode:
            self._troubles.append(f"version {version} cannot be promoted: {said.decode()[-300:]}")
            return
        async with httpx.AsyncClient(timeout=300) as http:
            for replica in self._replicas:
                answer = await http.post(f"{replica.url}/v2/repository/models/liverank/load")
                if not answer.is_success or answer.json()["version"] != version:
                    self._troubles.append(f"{replica.name}, version {version}: {answer.status_code} {answer.text}")
                    return
        self._swaps += 1

    async def _sample(self) -> None:
        while True:
            for replica in self._replicas:
                if not replica.is_down:
                    of = self._samples.setdefault((replica.name, replica.pid), Memory(replica.name, [], []))
                    of.seconds.append(self._now)
                    of.mib.append(replica.resident_mib())
            await asyncio.sleep(self._plan.sample_seconds)

    async def _progress(self, tally: Tally) -> None:
        while True:
            await asyncio.sleep(min(SAY_SECONDS, self._plan.seconds / 4))
            held = ", ".join(f"{of.name} {of.mib[-1]:.0f} MiB" for of in self._memories)
            _say(
                f"{self._now:6.0f} s: {tally.sent.total():,} requests, "
                f"{tally.failed.total()} failed, {tally.refused.total()} refused, "
                f"{len(tally.acknowledged):,} events; {held}"
            )

    def _tell(self, what: str) -> None:
        at = self._now
        self._happened.append(f"{at:.0f} s: {what}")
        _say(f"{at:6.0f} s: {what}")


def _say(what: str) -> None:
    print(what, flush=True)
