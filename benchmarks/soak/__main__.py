"""`python -m benchmarks.soak`: half an hour of requests and faults, into docs/benchmarks.md; 1 if a check fails.

Where a soak is too short to tell whether memory grows, it says so and ends with 0.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.page import PAGE, machine, put, scratch
from benchmarks.read_your_writes import NoRedis, redis_version
from benchmarks.soak.page import part
from benchmarks.soak.plan import LEAST_SECONDS, Plan
from benchmarks.soak.run import run
from liverank.environment import silence_telemetry


def main() -> int:
    """Soaks, prints what each check found, and writes the part; 2 where there is no redis-server."""
    silence_telemetry()
    # Servers and Redis are ended by whoever unwinds.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    options = _options()
    if options.seconds < LEAST_SECONDS:
        print(f"Error: a soak takes {LEAST_SECONDS:.0f} seconds at least.", file=sys.stderr)
        return 2
    try:
        with scratch(options.work) as folder:
            found = run(folder, Plan(options.seconds))
    except NoRedis as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 2
    for check in found.checks:
        print(f"{check.verdict if check.passed else check.verdict.upper()}: {check.name}: {check.found}", flush=True)
    put(options.out, "soak", part(machine(f"make soak SECONDS={options.seconds:g}"), redis_version(), found))
    print(f"written: {options.out}, part soak", flush=True)
    return int(any(check.failed for check in found.checks))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800, help="of requests; everything else scales with it")
    parser.add_argument("--work", type=Path, default=None, help="folder for what is written meanwhile")
    parser.add_argument("--out", type=Path, default=PAGE)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
