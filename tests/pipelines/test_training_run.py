"""The compiled training pipeline on this machine, every step real, as `liverank run` shows it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from liverank.config.remembered_data import remembered_data
from pipelines.local import run_local
from tests.pipelines.small import SETTINGS, configuration, write_data


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    write_data(folder / "data")
    return folder


def liverank_run(place: Path, *more: str) -> subprocess.CompletedProcess[str]:
    settings = {**SETTINGS, "workspace": str(place / "workspace")}
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    command = [sys.executable, "-m", "liverank.cli", "run", "--data", str(place / "data"), *options, *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=place)


@pytest.fixture(scope="module")
def first(place) -> subprocess.CompletedProcess[str]:
    return liverank_run(place)


def test_the_command_shows_every_step_and_what_came_of_it(first):
    assert first.returncode == 0, first.stderr
    for step in ("ingest", "validate", "features", "train", "evaluate", "register", "deploy"):
        assert f"\n{step}: done in " in f"\n{first.stdout}"
    for said in ("set aside", "popularity", "gate: ", "registered: version 1 of liverank", "champion", "deployed: "):
        assert said in first.stdout
    assert first.stderr == ""


def test_the_reports_are_pages_beside_the_log(first, place):
    (run,) = [path for path in (place / "workspace" / "runs").iterdir() if not path.name.startswith(".")]
    for name in ("validation.html", "evaluation.html"):
        assert "<html" in (run / name).read_text()
        assert f"{run / name}" in first.stdout
    assert (run / "log.txt").stat().st_size > 0


def test_the_workspace_remembers_the_data_for_retraining_and_backfill(first, place):
    found = remembered_data(place / "workspace")
    assert found is not None
    assert (found.source, found.live_store) == (str(place / "data"), "")
    command = [sys.executable, "-m", "liverank.cli", "backfill", "--set", f"workspace={place / 'workspace'}"]
    filled = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place)
    assert filled.returncode == 0, filled.stderr


def test_a_rerun_takes_up_what_is_finished_and_registers_nothing_twice(first, place):
    run = run_local(configuration(place / "workspace", place / "data"))
    states = {step: event["state"] for step, event in run.steps.items()}
    assert [step for step, state in states.items() if state == "cached"] == ["ingest", "validate", "features", "train"]
    assert run.outputs["register"]["version"] == "1"
    assert run.outputs["register"]["created"] is False
    assert run.promoted
    assert run.outputs["validation"]["ok"] is True
    assert run.outputs["evaluation"]["findings"]["primary"] == "blend"
    assert run.outputs["deploy"]["version"] == "1"


def test_validation_stops_the_run_with_exit_code_2_and_names_check_and_report(first, place):
    answer = liverank_run(place, "--set", "validation.min_interactions=1000000")
    assert answer.returncode == 2
    assert "Error: Validation stopped the run: " in answer.stderr
    assert "refuse: failed" in answer.stdout
    assert "train" not in answer.stdout
    report = Path(answer.stderr.split("Its report: ")[1].strip())
    assert "<html" in report.read_text()


def test_a_source_that_is_not_there_fails_ingest_with_one_line(place):
    answer = liverank_run(place, "--data", str(place / "nothing.csv"))
    assert answer.returncode == 2
    (line,) = answer.stderr.strip().splitlines()
    assert line.startswith("Error: Step 'ingest' failed: ")
    assert str(place / "nothing.csv") in line
    assert "Its log: " in line


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")]
)
def test_a_signal_ends_the_command_and_its_steps(place, number, code, said):
    workspace = place / f"workspace-{number}"
    settings = ["--set", f"workspace={workspace}", "--data", str(place / "data")]
    running = subprocess.Popen(
        [sys.executable, "-m", "liverank.cli", "run", *settings],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    for _ in range(1200):
        if any(workspace.glob("runs/*/progress.jsonl")) and _steps_of(workspace):
            break
        time.sleep(0.05)
    running.send_signal(number)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == code
    assert stderr.startswith(said)
    assert len(stderr.splitlines()) == 1
    assert _steps_of(workspace) == []


def _steps_of(workspace: Path) -> list[str]:
    """Processes whose command line names the workspace, the command itself apart."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            if str(workspace) in command and "executor_main" in command:
                found.append(command)
    return found
