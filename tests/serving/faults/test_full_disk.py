"""A disk without room, and one whose file may not grow: events are refused, rankings go on, and room is enough."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Server, click, ids
from tests.serving.faults.conftest import UNRECORDED, Servers, events_of, rank, refused_for_now, until

DISK_BYTES = 2 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("nobody but root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Takes all that is left, to the last byte."""
    with (folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"0" * 512):
            pass


def refuses_and_recovers(server: Server, fill: Callable[[], Any], empty: Callable[[], Any]) -> None:
    with server.client() as client:
        assert client.post("/v1/events", json=click(0, item="c")).status_code == 202
        fill()
        taken, why = until_it_is_full(client)
        assert "Nothing was taken, the live store cannot write" in why
        # What is written already is read, and what cannot be recorded is said.
        until(lambda: UNRECORDED in rank(client).json()["degraded"])
        answers = [rank(client) for _ in range(20)]
        assert {ids(answer)[0] for answer in answers} == {"c"}
        assert all(answer.json()["degraded"] == [UNRECORDED] for answer in answers)
        assert [event["event_id"] for event in events_of(client)] == [f"u-{number}" for number in range(taken)]
        assert client.get("/v2/models/liverank/ready").status_code == 200
        empty()
        until(lambda: client.post("/v1/events", json=click(taken, item="b")).status_code == 202)
        until(lambda: rank(client).json()["degraded"] == [])
        assert [event["event_id"] for event in events_of(client)] == [f"u-{number}" for number in range(taken + 1)]
    assert server.kill() == 143
    output = server.output()
    assert "cannot be used" in output
    assert "Traceback" not in output


def until_it_is_full(client: httpx.Client) -> tuple[int, str]:
    """How many events there are when one is refused, and what is said then."""
    for number in range(1, 2000):
        answer = client.post("/v1/events", json=click(number, item="c"))
        if answer.status_code != 202:
            return number, refused_for_now(answer)
    raise AssertionError("it takes ever more")


def test_no_room_on_the_disk(servers: Servers, disk: Path) -> None:
    server = servers(f"serving.store={disk / 'live.db'}").start()
    refuses_and_recovers(server, lambda: fill(disk), (disk / "filler").unlink)


def test_a_file_that_may_not_grow(servers: Servers) -> None:
    server = servers().start()
    assert server.process is not None
    pid = server.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    refuses_and_recovers(
        server,
        lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, limits[1])),
        lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, limits),
    )
