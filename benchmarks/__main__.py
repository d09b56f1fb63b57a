"""`python -m benchmarks`: measures pipeline, server, store, re-ranker, lists, items, data: docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks import data, explain, new_items, pipeline, read_your_writes, reranker, serving, shaping
from benchmarks.page import PAGE, PARTS, put, scratch
from liverank.environment import silence_telemetry

MEASURED_HERE = tuple(part for part in PARTS if part != "soak")


def main() -> int:
    """Runs what is asked for; 2 where the real data is not at hand."""
    silence_telemetry()
    options = _options()
    if "pipeline" in options.part and not (source := options.data / pipeline.UCI).exists():
        print(f"Error: {source} is not at hand. Set LIVERANK_DATA to the folder of real data sets.", file=sys.stderr)
        return 2
    for part in options.part:
        try:
            with scratch(options.work) as folder:
                text = _measured(part, options, folder / part)
        except read_your_writes.NoRedis as problem:
            print(f"Error: {problem}", file=sys.stderr)
            return 2
        put(options.out, part, text)
        print(f"written: {options.out}, part {part}", flush=True)
    return 0


def _measured(part: str, options: argparse.Namespace, work: Path) -> str:
    """The text of a part."""
    if part == "pipeline":
        return pipeline.run(options.data, work, options.seconds)
    if part == "serving":
        return serving.run(work, options.load_seconds)
    if part == "read-your-writes":
        return read_your_writes.run(work, options.writes)
    if part == "reranker":
        return reranker.run()
    if part == "shaping":
        return shaping.run()
    if part == "new-items":
        return new_items.run(work)
    if part == "explain":
        return explain.run(work)
    if part == "data":
        return data.run(work, options.events)
    return data.engines(work, options.spark) if part == "engines" else data.largest(work, options.largest)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--part", nargs="+", choices=MEASURED_HERE, default=list(MEASURED_HERE), help="what to measure")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LIVERANK_DATA") or "../shared/data"))
    parser.add_argument(
        "--events", type=int, nargs="+", default=[1_000_000, 10_000_000], help="generated events for every stage"
    )
    parser.add_argument("--largest", type=int, default=50_000_000, help="generated events for the features alone")
    parser.add_argument("--spark", type=int, default=1_000_000, help="generated events for both engines")
    parser.add_argument("--seconds", type=float, default=20, help="seconds of requests for each latency figure")
    parser.add_argument("--load-seconds", type=float, default=4, help="seconds of requests for each figure under load")
    parser.add_argument("--writes", type=int, default=1000, help="events whose way to a ranking is timed, each way")
    parser.add_argument("--work", type=Path, default=None, help="folder for what is written meanwhile")
    parser.add_argument("--out", type=Path, default=PAGE)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
