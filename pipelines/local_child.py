"""The process that runs the compiled pipeline on this machine; `pipelines.local` starts, watches and ends it.

It is apart because the local runner of Kubeflow swaps log handlers, prints on standard output and leaves its steps
running when only their parent is ended: as the leader of a process group of its own all of that stays in one place.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any, TextIO

from liverank.progress import report

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class PlainText(io.TextIOBase):
    """A text stream without colour codes."""

    def __init__(self, inner: TextIO) -> None:
        self._inner = inner

    def write(self, text: str) -> int:
        """Writes `text` without its colours."""
        self._inner.write(_COLOUR.sub("", text))
        self._inner.flush()
        return len(text)

    def flush(self) -> None:
        """Flushes the stream below."""
        self._inner.flush()


class StepRecorder(logging.Filter):
    """Turns the runner's log lines into progress events with each step's state, duration and outputs."""

    def __init__(self, folder: Path, cache: Path) -> None:
        super().__init__()
        self._folder, self._cache = folder, cache
        self._started = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        """Reports what the line says and lets it pass."""
        text = _COLOUR.sub("", record.getMessage())
        if found := re.match(r"Executing task '(.+)'$", text):
            self._started = time.monotonic()
            report("step", step=found[1], state="running")
        elif found := re.match(r"Task (\S+) cache hit \(key=(\w+)\)", text):
            report("step", step=found[1], state="cached", seconds=0.0, outputs=self._cached(found[2]))
        elif found := re.match(r"Task '(.+)' finished with status (SUCCESS|FAILURE)", text):
            seconds = round(time.monotonic() - self._started, 3)
            if found[2] == "FAILURE":
                report("step", step=found[1], state="failed", seconds=seconds)
            else:
                report("step", step=found[1], state="done", seconds=seconds, outputs=self._written(found[1]))
        return True

    def _cached(self, key: str) -> dict[str, Any]:
        (entry,) = self._cache.glob(f"{key}*.json")
        values = json.loads(entry.read_text(encoding="utf-8"))
        return {name: value["uri"] if isinstance(value, dict) else value for name, value in values.items()}

    def _written(self, step: str) -> dict[str, Any]:
        # A run that is taken up has a folder for each attempt, with its time in the name.
        file = max(self._folder.glob(f"*/{step}/executor_output.json"))
        written = json.loads(file.read_text(encoding="utf-8"))
        artifacts = {name: entry["artifacts"][0]["uri"] for name, entry in written.get("artifacts", {}).items()}
        return artifacts | written.get("parameterValues", {})


def end_with_parent() -> None:
    """Ends this process group when the parent is gone: its end of standard input closes then."""
    line = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)

    def watch() -> None:
        while os.read(line, 1024):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def run(folder: Path) -> None:
    """Runs the pipeline that `folder/run.json` describes; raises when a step fails."""
    from kfp import components, local

    order = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    cache = Path(order["cache"])
    recorder = StepRecorder(folder, cache)
    logging.getLogger().addFilter(recorder)
    pipeline = components.load_component_from_file(order["pipeline"])
    # A workspace of its own for every run: the runner removes the one it is given.
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder),
        workspace_root=str(folder / "scratch"),
        enable_caching=order["resume"],
        cache_root=str(cache),
    )
    pipeline(**order["arguments"])


def main() -> None:
    """Entry point: `python -m pipelines.local_child RUN_FOLDER`."""
    folder = Path(sys.argv[1])
    end_with_parent()
    warnings.simplefilter("ignore")
    sys.stdout = PlainText(sys.stdout)
    sys.stderr = PlainText(sys.stderr)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s - %(levelname)s - %(message)s")
    try:
        run(folder)
    finally:
        shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)


if __name__ == "__main__":
    main()
