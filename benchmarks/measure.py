"""Runs one stage in a process of its own and measures it: wall-clock seconds and peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Measured:
    """One run of one stage."""

    stage: str
    seconds: float
    """Wall clock of the whole process, start and imports included."""
    work_seconds: float
    """Wall clock of the call alone."""
    cpu_seconds: float
    """Processor time of the whole process, on all cores: says more than the clock where other work goes on beside."""
    peak_mib: float
    """Peak resident memory of the process, in MiB."""
    result: dict[str, Any]

    def named(self, stage: str) -> Measured:
        """The same figures under another name."""
        return replace(self, stage=stage)


def measure(stage: str, **arguments: Any) -> Measured:
    """Calls `benchmarks.stages.<stage>(**arguments)` in a fresh process.

    Raises:
        RuntimeError: the stage failed; its output is the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "benchmarks.child", stage, json.dumps(arguments, default=str), str(answer)]
        started = time.perf_counter()
        with tempfile.TemporaryFile() as output:
            code = subprocess.run(command, stdout=output, stderr=output, check=False).returncode
            seconds = time.perf_counter() - started
            output.seek(0)
            if code != 0:
                raise RuntimeError(f"{stage} failed: {output.read().decode(errors='replace')[-4000:]}")
        said = json.loads(answer.read_text())
    return Measured(stage, seconds, said["seconds"], said["cpu_seconds"], said["peak_mib"], said["result"])


def say(done: Measured) -> None:
    """Prints a measurement on one line."""
    told = f"{done.seconds:.1f} s, {done.cpu_seconds:.1f} CPU s, {done.peak_mib:.0f} MiB"
    print(f"{done.stage}: {told} {done.result}", flush=True)
