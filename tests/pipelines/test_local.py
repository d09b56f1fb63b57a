"""The local runner on a toy pipeline: results, resuming, failures and signals, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from liverank.config import Config, DataConfig, RegistryConfig
from liverank.errors import ConfigError, PipelineError, StageStopped
from pipelines.local import run_local
from pipelines.run_lock import only_run
from tests.pipelines.toy import compile_toy, runs


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    return compile_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def config(tmp_path) -> Config:
    source = tmp_path / "clicks.csv"
    source.write_text("a,b\n")
    workspace = tmp_path / "work space"
    workspace.mkdir()
    return Config(workspace=str(workspace), data=DataConfig(source=str(source)))


def test_a_run_reports_each_step_in_order_and_keeps_its_outputs(config, toy):
    events = []
    run = run_local(config, events.append, pipeline=toy)
    steps = [(event["step"], event["state"]) for event in events if event["event"] == "step"]
    assert steps == [(name, state) for name in ("first", "second", "third") for state in ("running", "done")]
    assert [(event["step"], event["text"]) for event in events if event["event"] == "note"] == [
        ("first", "first has run")
    ]
    assert run.steps["first"]["outputs"]["Output"] is True
    assert Path(run.steps["first"]["outputs"]["data"]).read_text() == run.steps["third"]["outputs"]["Output"]
    assert run.folder == config.workspace_path / "runs" / run.run_id
    log = run.log.read_text()
    assert "\x1b" not in log
    assert "finished with status SUCCESS" in log
    assert not (run.folder / "tmp").exists()


def test_a_rerun_skips_what_is_finished_and_new_data_runs_again(config, toy):
    run_local(config, pipeline=toy)
    events = []
    again = run_local(config, events.append, pipeline=toy)
    assert {step: event["state"] for step, event in again.steps.items()} == dict.fromkeys(
        ("first", "second", "third"), "cached"
    )
    assert runs(config.workspace_path) == {"first": 1, "second": 1, "third": 1}
    assert again.steps["first"]["outputs"]["Output"] is True
    assert Path(again.steps["first"]["outputs"]["data"]).is_file()
    Path(config.data.source).write_text("a,b\n1,2\n")
    run_local(config, pipeline=toy)
    assert runs(config.workspace_path) == {"first": 2, "second": 2, "third": 2}
    run_local(config, pipeline=toy, resume=False)
    assert runs(config.workspace_path) == {"first": 3, "second": 3, "third": 3}


def test_a_failed_step_is_named_with_its_one_clear_line_and_the_rerun_goes_on_from_it(config, toy):
    (config.workspace_path / "bad-data").touch()
    with pytest.raises(PipelineError) as failure:
        run_local(config, pipeline=toy, run_id="one")
    assert failure.value.message == "Step 'second' failed: There is no file clicks.csv. Name one that exists."
    assert failure.value.hint == f"Its log: {config.workspace_path / 'runs' / 'one' / 'log.txt'}"
    (config.workspace_path / "bad-data").unlink()
    run = run_local(config, pipeline=toy)
    assert [event["state"] for event in run.steps.values()] == ["cached", "done", "done"]
    assert runs(config.workspace_path) == {"first": 1, "second": 2, "third": 1}


def test_a_verdict_to_stop_is_no_failure_of_the_step(config, toy):
    (config.workspace_path / "stop").touch()
    with pytest.raises(StageStopped, match=r"^Validation stopped the run: unique-events. Its report: r.html$") as stop:
        run_local(config, pipeline=toy)
    assert stop.value.exit_code == 2


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("defect", "Step 'second' failed with ZeroDivisionError: division by zero"),
        ("die", r"Step 'second' ended without a Python error \(killed, or out of memory\?\)"),
    ],
)
def test_defects_and_kills_name_the_step_too(config, toy, cause, said):
    (config.workspace_path / cause).touch()
    with pytest.raises(PipelineError, match=said):
        run_local(config, pipeline=toy)


def test_a_false_gate_ends_the_run_without_the_steps_behind_it(config, toy):
    (config.workspace_path / "refuse").touch()
    assert list(run_local(config, pipeline=toy).steps) == ["first"]


CALLER = """
import sys
from pathlib import Path
from liverank.cli.main import Terminated, _terminate
import signal
signal.signal(signal.SIGTERM, _terminate)
from liverank.config import Config
from pipelines.local import run_local
try:
    run_local(Config(workspace=sys.argv[1]), pipeline=Path(sys.argv[2]))
except Terminated:
    sys.exit(143)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_signal_leaves_no_orphan_and_a_state_to_go_on_from(config, toy, number, code):
    (config.workspace_path / "sleep").touch()
    caller = subprocess.Popen([sys.executable, "-c", CALLER, config.workspace, str(toy)])
    pid = _wait_for(config.workspace_path / "pid")
    caller.send_signal(number)
    assert caller.wait(30) == code
    _wait_until_gone(pid)
    (config.workspace_path / "sleep").unlink()
    run = run_local(Config(workspace=config.workspace), pipeline=toy)
    assert [event["state"] for event in run.steps.values()] == ["cached", "done", "done"]


def _wait_for(file: Path) -> int:
    for _ in range(2000):
        if file.exists() and (text := file.read_text()):
            return int(text)
        time.sleep(0.05)
    raise AssertionError(f"{file} did not appear")


def _wait_until_gone(pid: int) -> None:
    for _ in range(200):
        if not _alive(pid):
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that has ended stays in the table until its new parent reads its exit code.
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_one_run_at_a_time(config, toy):
    with (
        only_run(config.workspace_path / "runs"),
        pytest.raises(PipelineError, match=rf"Another run is under way .*process {os.getpid()}"),
    ):
        run_local(config, pipeline=toy)
    run_local(config, pipeline=toy)


def test_values_that_the_runner_would_change_are_refused(config, toy):
    with pytest.raises(ConfigError, match=r"'run folder' is .*python3"):
        run_local(config.model_copy(update={"workspace": config.workspace + "/python3.11"}), pipeline=toy)


def test_a_password_is_no_parameter(config, toy):
    registry = RegistryConfig(tracking_uri="http://me:secret@mlflow.example")
    with pytest.raises(ConfigError, match=r"'registry.tracking_uri' holds a password") as refused:
        run_local(config.model_copy(update={"registry": registry}), pipeline=toy)
    assert "secret" not in refused.value.message
