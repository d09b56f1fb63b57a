"""`liverank top` on a real server: for scripts, on a dumb terminal, and live."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from serving.stages import STAGES
from tests.serving.conftest import ROOT, Server, click

COMMAND = [sys.executable, "-c", "from liverank.cli import main; main()", "top"]
SECONDS = 60


def top(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def on(server: Server) -> list[str]:
    return ["--set", f"workspace={server.workspace}", "--interval", "0.5"]


@contextmanager
def traffic(server: Server) -> Iterator[None]:
    """Requests of several kinds, until the block ends."""
    ended = threading.Event()

    def ask() -> None:
        number = 0
        with server.client() as client:
            while not ended.is_set():
                number += 1
                client.post("/v1/events", json=click(number, "top"))
                # Most texts come again, and some are to be read.
                told = {"new": "words", "newer": f"words {number // 4}"}
                texts = [*({"item_id": item, "text": text} for item, text in told.items()), "b"]
                client.post("/v1/rank", json={"user_id": "top", "candidates": texts, "explain": True})
                client.post("/v1/rank", json={"user_id": "top", "candidates": []})

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def look_until(server: Server, enough: Callable[[str], Any], *arguments: str) -> str:
    """What `top --once` says in traffic, once a look met requests of every kind: on a busy machine one may meet few."""
    deadline = time.monotonic() + SECONDS
    with traffic(server):
        while True:
            done = top("--once", *arguments, *on(server))
            assert (done.returncode, done.stderr) == (0, "")
            if enough(done.stdout):
                return done.stdout
            assert time.monotonic() < deadline, done.stdout


def met_every_kind(said: str) -> bool:
    found = json.loads(said)
    seen = {row["name"] for row in [*found["routes"], *found["stages"]] if row["per_second"] > 0}
    return (
        found["requests_per_second"] > found["refused_per_second"] > 0
        and found["records_per_second"] > 0
        and found["degraded_per_second"].get("explain", 0) > 0
        and found["cache_hits"].get("texts", 0) > 0.5
        and {"POST /v1/rank", "POST /v1/events", *STAGES} - {"lm", "explain"} <= seen
    )


def test_json_for_scripts(server: Server) -> None:
    found = json.loads(look_until(server, met_every_kind, "--json"))
    assert found["url"] == server.url
    assert found["models"] == ["1"]
    assert found["seconds"] >= 0.5
    assert found["failed_per_second"] == 0
    assert found["batch"] == 1
    assert found["dropped"] == 0
    # As of the second look, with one client: what it had just sent may wait.
    assert found["queue"] in {0, 1}
    assert found["resident_bytes"] > 2**20
    assert found["history_age_p50"] > 0
    assert found["newest_event_age"] > 0
    routes = {row["name"]: row for row in found["routes"]}
    assert routes["POST /v1/rank"]["p50_ms"] <= routes["POST /v1/rank"]["p99_ms"]
    stages = {row["name"]: row for row in found["stages"]}
    assert list(stages) == ["decode", "texts", "queue", "store", "model", "lm", "shaping", "explain", "encode"]
    assert (stages["lm"]["per_second"], stages["lm"]["p50_ms"]) == (0, None)


def test_one_table_for_a_pipe(server: Server) -> None:
    rate = re.compile(r"degraded +explain \d+\.\d/s")
    said = look_until(server, lambda said: rate.search(said) and "POST /v1/rank" in said)
    assert said.isascii()
    assert server.url in said
    assert re.search(r"\| POST /v1/rank +\| +\d+\.\d \| +\d+\.\d\d \| +\d+\.\d\d \|", said)
    assert re.search(r"\| lm +\| +0\.0 \| +- \| +- \|", said)


@contextmanager
def terminal(server: Server, kind: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`top` on a terminal of its own; the end of it that a person sits at."""
    person, process_end = pty.openpty()
    environment = {**os.environ, "TERM": kind, "COLUMNS": "120", "LINES": "50"}
    process = subprocess.Popen(
        [*COMMAND, *on(server)],
        cwd=ROOT,
        env=environment,
        stdin=process_end,
        stdout=process_end,
        stderr=process_end,
        start_new_session=True,
    )
    os.close(process_end)
    try:
        yield person, process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(SECONDS)
        os.close(person)


def read_until(person: int, enough: Callable[[bytes], Any]) -> bytes:
    said, deadline = b"", time.monotonic() + SECONDS
    while not enough(said):
        assert time.monotonic() < deadline, said.decode()
        if select.select([person], [], [], 1)[0]:
            said += os.read(person, 65536)
    return said


@pytest.mark.parametrize("end", ["q", "ctrl-c"])
def test_live_until_somebody_ends_it(server: Server, end: str) -> None:
    with terminal(server, "xterm") as (person, process):
        said = read_until(person, lambda said: said.count(b"answers") >= 3)
        if end == "q":
            os.write(person, b"xq")
        else:
            process.send_signal(signal.SIGINT)
        threading.Thread(target=drain, args=(person,), daemon=True).start()
        assert process.wait(SECONDS) == 0
    assert b"\x1b[" in said


def drain(person: int) -> None:
    try:
        while os.read(person, 65536):
            pass
    except OSError:
        return  # the other end is closed


def test_a_dumb_terminal_gets_tables_without_escapes(server: Server) -> None:
    with terminal(server, "dumb") as (person, process):
        said = read_until(person, lambda said: said.count(b"answers") >= 2)
        os.write(person, b"q")
        threading.Thread(target=drain, args=(person,), daemon=True).start()
        assert process.wait(SECONDS) == 0
    assert b"\x1b" not in said


def test_a_server_that_starts_anew_is_looked_at_again(servers: Callable[..., Server]) -> None:
    server = servers().start()
    process = subprocess.Popen(
        [*COMMAND, "--json", *on(server)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert json.loads(process.stdout.readline())["url"] == server.url
        server.kill()
        assert "No model server runs" in process.stderr.readline()
        server.start()
        while json.loads(process.stdout.readline())["url"] != server.url:
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait(SECONDS)
        process.stdout.close()
        process.stderr.close()


def test_where_no_server_is_the_command_says_so(server: Server, tmp_path: Any) -> None:
    done = top("--once", "--set", f"workspace={tmp_path}")
    assert done.returncode == 2
    assert "No model server runs on the workspace" in done.stderr
    assert top("--once", "--url", "http://127.0.0.1:9").returncode == 2
    assert top("--interval", "0").returncode == 2
