"""The compiled pipeline on this machine: one step after the other, each in its own process, nothing left behind.

What finished is kept: a second run with the same inputs takes it up. One run at a time in a workspace.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from liverank.config import Config, DataConfig
from liverank.config.remembered_data import remember_data
from liverank.environment import silence_telemetry
from liverank.errors import ConfigError, PipelineError
from liverank.progress import VARIABLE
from pipelines.arguments import absolute, asked_for, pipeline_arguments, strings
from pipelines.compile import COMPILED
from pipelines.fingerprint import champion_version, code_version, snapshot
from pipelines.run_folders import prune
from pipelines.run_lock import only_run
from pipelines.step_failure import step_failure

Event = dict[str, Any]
OnProgress = Callable[[Event], None]

POLL_SECONDS = 0.05
GRACE_SECONDS = 5.0
REPORTS = {"validate": "validation", "evaluate": "evaluation", "tune": "tuning"}
MANGLED = "python3"
"""The local runner replaces this text by the interpreter's path wherever it finds it in an argument."""


@dataclass
class LocalRun:
    """A run and what its steps left."""

    run_id: str
    folder: Path
    steps: dict[str, Event] = field(default_factory=dict)
    """Step -> its last event: state (running, done, cached, failed), seconds, outputs (name -> path or value)."""

    @property
    def log(self) -> Path:
        """Everything that runner and steps wrote."""
        return self.folder / "log.txt"

    @property
    def outputs(self) -> dict[str, Any]:
        """Results of the steps that have one: `validation`, `evaluation`, `register`, `deploy`, and `reports`."""
        found = {
            "validation": self._json("validate", "accepted", "result.json"),
            "evaluation": self._json("evaluate", "evaluation", "metrics.json"),
            "register": self._json("register", "version"),
            "deploy": self._json("deploy", "deployed"),
            "reports": {name: str(path) for name, path in self._reports().items()},
        }
        return {name: value for name, value in found.items() if value}

    @property
    def promoted(self) -> bool:
        """Whether the run's model is the champion."""
        return bool(self.output("register", "Output"))

    def output(self, step: str, name: str) -> Any:
        """An output of a step: its path or value; None where there is none."""
        return self.steps.get(step, {}).get("outputs", {}).get(name)

    def _json(self, step: str, output: str, inside: str = "") -> Any:
        path = self.output(step, output)
        file = Path(path) / inside if path and inside else Path(path or "/")
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def _reports(self) -> dict[str, Path]:
        return {
            name: self.folder / f"{name}.html" for name in REPORTS.values() if (self.folder / f"{name}.html").exists()
        }


def run_local(
    config: Config,
    on_progress: OnProgress | None = None,
    *,
    resume: bool = True,
    pipeline: Path = COMPILED,
    run_id: str | None = None,
) -> LocalRun:
    """Runs a compiled pipeline, the training pipeline if none is named, and returns when it has ended.

    A run that registers a version leaves its data section in the workspace, see `liverank.config.remembered_data`.

    Args:
        config: The whole configuration; its workspace holds the run's folder, `runs/<run id>`.
        on_progress: Called with each event as it comes: `step` events (state, seconds, outputs) and what steps report
            themselves, each with its `step`.
        resume: Take up what earlier runs finished with the same inputs.
        pipeline: The compiled pipeline.
        run_id: Name of the run's folder; made from the time when left out.

    Raises:
        StageStopped: validation stopped the run.
        PipelineError: a step failed (names it and the log), or another run is under way in this workspace.
        ConfigError: a value that the local runner would change on its way.
    """
    config = absolute(config)
    name = run_id or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    runs = config.workspace_path / "runs"
    with only_run(runs):
        run = LocalRun(name, runs / name)
        _prepare(run, config, pipeline, resume)
        try:
            _execute(run, on_progress or (lambda event: None))
        finally:
            if run.output("register", "version"):
                remember_data(config.workspace_path, _without_own_log(config))
        (run.folder / "ended").touch()
        prune(runs, config.pipeline.keep_runs)
    return run


def _without_own_log(config: Config) -> DataConfig:
    """The data section without the workspace's own live log, which whoever retrains adds by itself."""
    own = config.data.live_store == config.store_place
    return config.data.model_copy(update={"live_store": ""}) if own else config.data


def _prepare(run: LocalRun, config: Config, pipeline: Path, resume: bool) -> None:
    arguments = pipeline_arguments(config, run=run.run_id)
    for key, text in strings({"run folder": str(run.folder), **arguments}):
        if MANGLED in text:
            raise ConfigError(
                f"'{key}' is {text!r}, and the local pipeline runner replaces '{MANGLED}' by a path.",
                f"Use a name without '{MANGLED}'.",
            )
    arguments["snapshot"] = snapshot(config.data)
    arguments["champion"] = champion_version(config)
    arguments["code"] = code_version()
    order = {
        "pipeline": str(pipeline),
        "cache": str(run.folder.parent / ".cache"),
        "resume": resume,
        "arguments": asked_for(pipeline, arguments),
    }
    (run.folder / "tmp").mkdir(parents=True, exist_ok=True)
    (run.folder / "run.json").write_text(json.dumps(order, indent=2, ensure_ascii=False), encoding="utf-8")


def _execute(run: LocalRun, on_progress: OnProgress) -> None:
    progress = run.folder / "progress.jsonl"
    progress.touch()
    already = progress.stat().st_size
    with open(run.log, "a", encoding="utf-8") as log:
        child = _start(run.folder, progress, log.fileno())
    try:
        with open(progress, encoding="utf-8") as file:
            file.seek(already)
            _follow(run, child, file, on_progress)
    finally:
        stop_group(child)
    _collect_reports(run)
    _raise_failure(run, child.returncode)


def _start(folder: Path, progress: Path, log: int) -> subprocess.Popen[bytes]:
    silence_telemetry()
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    environment = {
        **os.environ,
        VARIABLE: str(progress),
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "TMPDIR": str(folder / "tmp"),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.local_child", str(folder)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,
    )


def _follow(run: LocalRun, child: subprocess.Popen[bytes], file: Any, on_progress: OnProgress) -> None:
    rest = ""
    step = ""
    while True:
        ended = child.poll() is not None
        rest += file.read()
        *lines, rest = rest.split("\n")
        for line in lines:
            event = json.loads(line)
            if event["event"] == "step":
                step = event["step"]
                run.steps[step] = event
            on_progress({"step": step, **event})
        if ended:
            return
        time.sleep(POLL_SECONDS)


def stop_group(child: subprocess.Popen[bytes]) -> None:
    """Ends the child and everything it started; nothing when all have ended."""
    with suppress(ProcessLookupError):
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_SECONDS)
        # The leader is gone or deaf; whatever is left of its group goes now.
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin:
        child.stdin.close()


def _collect_reports(run: LocalRun) -> None:
    """Copies the steps' pages to where a browser knows them by their names."""
    for step, name in REPORTS.items():
        report = run.output(step, "report")
        if report and Path(report).is_file():
            shutil.copyfile(report, run.folder / f"{name}.html")


def _raise_failure(run: LocalRun, code: int) -> None:
    failed = next((step for step, event in run.steps.items() if event["state"] == "failed"), None)
    if failed:
        pages = {run.output(step, "report"): str(run.folder / f"{name}.html") for step, name in REPORTS.items()}
        raise step_failure(failed, run.log, {path: page for path, page in pages.items() if path})
    running = next((step for step, event in run.steps.items() if event["state"] == "running"), None)
    if code != 0:
        where = f"while step '{running}' ran" if running else "outside its steps"
        last = [line.strip() for line in run.log.read_text(encoding="utf-8").splitlines() if line.strip()][-1:]
        raise PipelineError(
            f"The pipeline runner ended {where} (exit code {code}): {' '.join(last) or 'it wrote nothing'}",
            f"Its log: {run.log}",
        )
