"""`python -m benchmarks.quality`: ranking quality on public data sets, into docs/quality.md."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from benchmarks.options import add_options
from benchmarks.page import put, scratch
from benchmarks.quality.page import HEAD, part
from benchmarks.quality.parts import PAGE_PARTS, PARTS, QUICK_PARTS, Run, measured, missing
from liverank.config import parse_settings
from liverank.environment import silence_telemetry

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "quality.md"
QUICK_PAGE = ROOT / ".liverank" / "quality-quick.md"


def main(arguments: list[str] | None = None) -> int:
    """Runs what is asked for; 2 where its data are not at hand."""
    silence_telemetry()
    options = _options(arguments)
    names = options.part or list(QUICK_PARTS if options.quick else PARTS)
    absent = [path for name in names for path in missing(PARTS[name], options.data)]
    if absent:
        print(f"Error: {absent[0]} is not at hand. Set LIVERANK_DATA to the folder of real data sets.", file=sys.stderr)
        return 2
    out = options.out or (QUICK_PAGE if options.quick else PAGE)
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch(options.work) as folder:
        seeds = 1 if options.quick else options.seeds
        run = Run(options.data, folder, seeds, options.quick, parse_settings(options.set))
        for name in names:
            text = part(name, measured(name, run), run, _command(name, options))
            put(out, name, text, PAGE_PARTS, HEAD)
            print(f"written: {out}, part {name}", flush=True)
    return 0


def _command(name: str, options: argparse.Namespace) -> str:
    """How to measure a part again."""
    once = options.quick or not PARTS[name].trained
    given = [f"--part {name}", *([] if once else [f"--seeds {options.seeds}"])]
    given += [f"-s {shlex.quote(setting)}" for setting in options.set]
    return f"make bench-quality {'QUICK=1 ' if options.quick else ''}ARGS='{' '.join(given)}'"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, help="what to measure (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of what is trained")
    parser.add_argument("--quick", action="store_true", help="two sets, a sample of users, small models, one seed")
    add_options(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
