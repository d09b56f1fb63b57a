"""One stage in this process: `python -m benchmarks.child STAGE ARGUMENTS_JSON ANSWER_FILE`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from benchmarks import (
    compression_stages,
    explain_stages,
    new_items_stages,
    query_weight_stages,
    reranker_stages,
    serving_stages,
    shaping_stages,
    stages,
)
from benchmarks.soak import world
from liverank.environment import silence_telemetry
from liverank.memory import peak_mib


def main(stage: str, arguments: str, answer: str) -> None:
    """Runs the stage and writes its seconds, processor time, peak memory and result."""
    silence_telemetry()
    parts = (
        compression_stages,
        explain_stages,
        new_items_stages,
        query_weight_stages,
        reranker_stages,
        serving_stages,
        shaping_stages,
        world,
    )
    apart = {name: of for part in parts for name, of in part.STAGES.items()}
    function = apart.get(stage) or getattr(stages, stage)
    started = time.perf_counter()
    result = function(**json.loads(arguments))
    seconds = time.perf_counter() - started
    found = {"seconds": seconds, "cpu_seconds": cpu_seconds(), "peak_mib": peak_mib(), "result": result or {}}
    Path(answer).write_text(json.dumps(found, default=str))


def cpu_seconds() -> float:
    """Processor time of this process and of those that it started and that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    main(*sys.argv[1:])
