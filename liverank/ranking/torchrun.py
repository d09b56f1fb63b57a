"""Training on several processes of this machine, under torch's own launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from liverank.config.training import TrainingConfig
from liverank.ranking.launch import ENDED, read_answer

if TYPE_CHECKING:
    from liverank.ranking.fit import FitSummary

GRACE_SECONDS = 20.0
"""Torch's launcher gives its processes time to end before it ends itself."""


def run_torchrun(features: Path, out: Path, config: TrainingConfig, checkpoints: Path) -> FitSummary:
    """Trains on as many processes as `config.launch` says; they end with this one, however it ends.

    Raises:
        TrainingError: a process failed or was killed; says why. Started again it goes on from its last checkpoint.
    """
    with tempfile.TemporaryDirectory(prefix="liverank-train-") as folder:
        answer, settings = Path(folder) / "answer.json", Path(folder) / "training.json"
        settings.write_text(config.model_dump_json(), encoding="utf-8")
        arguments = {"features": features, "out": out, "checkpoints": checkpoints, "config": settings, "answer": answer}
        given = [f"--{name}={Path(value).absolute()}" for name, value in arguments.items()]
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes(config)}"]
        code = _supervised([sys.executable, *launcher, "-m", "liverank.ranking.launch", "--end-with-parent", *given])
        return read_answer(answer, f"on {processes(config)} processes ended with exit code {code}")


def processes(config: TrainingConfig) -> int:
    """Processes on this machine: those configured, else one a GPU, else one."""
    if config.launch.processes:
        return config.launch.processes
    import torch

    return max(1, torch.cuda.device_count()) if config.device != "cpu" else 1


def _supervised(command: list[str]) -> int:
    """Runs a command to its end and returns its exit code; an interrupted wait ends it."""
    # Torch's launcher would set one thread a process, and the first one embeds texts alone.
    threads = os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0)) if _LINUX else os.cpu_count() or 1)
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    with _terminations_raised():
        # The open pipe is the sign of life that its processes end without.
        child = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
        try:
            return child.wait()
        finally:
            _end(child)


_LINUX = hasattr(os, "sched_getaffinity")


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdin:
        child.stdin.close()


@contextmanager
def _terminations_raised() -> Iterator[None]:
    """SIGTERM as an exception, so that children are ended before this process is; where nobody else handles it."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if not ours:
        yield
        return
    signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise(number: int, frame: FrameType | None) -> None:
    raise SystemExit(ENDED)
