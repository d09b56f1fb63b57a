"""One stage in this process: `python -m benchmarks.child STAGE ARGUMENTS_JSON ANSWER_FILE`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import benchmarks.stages as stages
from liverank.environment import silence_telemetry


def main(stage: str, arguments: str, answer: str) -> None:
    """Runs the stage and writes its seconds and result."""
    silence_telemetry()
    function = getattr(stages, stage)
    started = time.perf_counter()
    result = function(**json.loads(arguments))
    seconds = time.perf_counter() - started
    Path(answer).write_text(json.dumps({"seconds": seconds, "result": result or {}}, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
