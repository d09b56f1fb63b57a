"""One run at a time in a workspace: a lock that the system frees however its holder ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from liverank.errors import ConfigError, PipelineError

TRIES = 5
SECONDS_BETWEEN_TRIES = 0.05


@contextmanager
def only_run(runs: Path) -> Iterator[None]:
    """Holds the workspace's lock; the system frees it however this process ends.

    Raises:
        PipelineError: another process holds it.
        ConfigError: the folder cannot be made or written.
    """
    with _opened(runs) as file:
        if not _locked(file):
            file.seek(0)
            raise PipelineError(
                f"Another run is under way in {runs} (process {file.read() or 'unknown'}).",
                "Wait for it to end, or use another workspace.",
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _opened(runs: Path) -> TextIO:
    try:
        runs.mkdir(parents=True, exist_ok=True)
        return open(runs / ".lock", "a+", encoding="utf-8")
    except OSError as problem:
        raise ConfigError(
            f"The workspace {runs.parent} cannot be written: {problem.strerror}.", "Set workspace to another folder."
        ) from problem


def _locked(file: Any) -> bool:
    # More than one try: `is_running` holds the lock for the moment that its question takes.
    for _ in range(TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(SECONDS_BETWEEN_TRIES)
    return False


def is_running(runs: Path) -> str | None:
    """Process id of the run under way in `runs`; None where there is none."""
    try:
        with only_run(runs):
            return None
    except PipelineError:
        return (runs / ".lock").read_text(encoding="utf-8") or "unknown"
