"""Ctrl-C and SIGTERM while each step of the real pipeline runs: one line, nothing left running, and the run goes on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipelines.small import SETTINGS, write_data

STEPS = ("ingest", "validate", "features", "train", "evaluate", "register")
ENDS = ((signal.SIGINT, 130, "Interrupted; "), (signal.SIGTERM, 143, "Terminated; "))
SECONDS = 280

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS)]


def test_every_step_can_be_interrupted_and_the_run_goes_on(tmp_path):
    workspace = tmp_path / "workspace"
    data = write_data(tmp_path / "data")
    for number, step in enumerate(STEPS):
        sent, code, said = ENDS[number % 2]
        known = _runs(workspace)
        running = _start(workspace, data)
        try:
            _wait_until_running(step, workspace, known, running)
            running.send_signal(sent)
            _, stderr = running.communicate(timeout=60)
        finally:
            running.kill()
        assert (step, running.returncode) == (step, code), stderr
        assert stderr.startswith(said), (step, stderr)
        assert len(stderr.splitlines()) == 1, (step, stderr)
        assert _processes_of(workspace) == [], step
    last = _start(workspace, data)
    stdout, stderr = last.communicate(timeout=SECONDS)
    assert (last.returncode, stderr) == (0, "")
    for step in STEPS[:4]:
        assert f"{step}: as before" in stdout
    assert "registered: version 1 of liverank" in stdout
    assert _processes_of(workspace) == []


def _start(workspace: Path, data: Path) -> subprocess.Popen[str]:
    settings = {**SETTINGS, "workspace": str(workspace)}
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    return subprocess.Popen(
        [sys.executable, "-m", "liverank.cli", "run", "--data", str(data), *options],
        cwd=workspace.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _wait_until_running(step: str, workspace: Path, known: set[Path], command: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not any((step, "running") in _events(run) for run in _runs(workspace) - known):
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < deadline, f"{step} did not begin"
        time.sleep(0.02)


def _runs(workspace: Path) -> set[Path]:
    return {file.parent for file in workspace.glob("runs/*/progress.jsonl")}


def _events(run: Path) -> list[tuple[str, str]]:
    # What follows the last line's end is still being written.
    lines = (run / "progress.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    events = [json.loads(line) for line in lines]
    return [(event["step"], event["state"]) for event in events if event["event"] == "step"]


def _processes_of(workspace: Path) -> list[str]:
    """Processes, this one apart, whose command line names the workspace."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                if str(workspace) in command:
                    found.append(command)
    return found
