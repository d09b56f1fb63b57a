"""The part of docs/benchmarks.md on explanations: what leaving events out costs beside scoring alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.explain_stages import CANDIDATES, EVENTS, LEFT_OUT, SHOWN
from benchmarks.interest_bundle import make
from benchmarks.measure import measure, say
from benchmarks.page import Bar, bars, machine
from liverank.config import Config

ROUNDS: Final = 20
MOST_TIMES: Final = 3.0
"""What an explained request may cost of one scored alone."""


def run(work: Path, rounds: int = ROUNDS) -> str:
    """Makes a bundle with the interest model on generated events, and times requests; the part's text."""
    done = measure("explain_speed", bundle=str(make(work)), rounds=rounds)
    say(done)
    return part(machine("make bench ARGS='--part explain'"), done.result)


def part(where: str, found: Mapping[str, Any]) -> str:
    """The part's text; `where` is `page.machine`."""
    served = Config().serving.explain_events
    rows = "".join(f"| {way} | {1000 * of:.2f} | {found['times'][way]:.2f} |\n" for way, of in found["seconds"].items())
    told = _of_default(found["times"], served)
    bar = bars([Bar(f"`serving.explain_events: {served}`, times scored alone", told, MOST_TIMES, "")])
    return (
        "# Explanations\n\n"
        f"{where}"
        f"The blend with the interest model ({found['items']:,} items) on one core, {CANDIDATES} candidates, a history "
        f"of {EVENTS} events, {SHOWN} shown items explained; in the process, without HTTP. All ways answer each "
        "request in turn; medians, the last column of the ratio to the same request scored alone.\n\n"
        "| | ms a request | times scored alone |\n|---|---:|---:|\n"
        f"{rows}\n{bar}"
    )


def _of_default(times: Mapping[str, float], events: int) -> float:
    """The ratio of the number that is left out by default, which is measured among others."""
    if events not in LEFT_OUT:
        raise ValueError(f"serving.explain_events is {events} by default, measured are {LEFT_OUT}")
    return times[f"with events, {events} left out"]
