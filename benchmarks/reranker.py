"""The part of docs/benchmarks.md on the re-ranker: milliseconds a request and pairs a second, beside a CrossEncoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.measure import measure, say
from benchmarks.page import machine
from benchmarks.reranker_stages import ALONE, CROSS_ENCODER, EVENTS, KEPT, MET_FIRST, SHARED

SIZES: Final = (20, 100, 500)
WAYS: Final = (KEPT, MET_FIRST, SHARED, ALONE, CROSS_ENCODER)
PAIRS: Final = 300
"""Pairs at least that each way scores, so that small requests are put more often."""
LEAST_REQUESTS: Final = 2


@dataclass(frozen=True)
class Timed:
    """What was found for requests of one size."""

    candidates: int
    requests: int
    seconds: dict[str, float]
    """Way -> median seconds a request."""
    tokens: dict[str, float]


def run(sizes: Sequence[int] = SIZES) -> str:
    """Measures every size in a process of its own; the part's text."""
    found = []
    for candidates in sizes:
        requests = max(LEAST_REQUESTS, PAIRS // candidates)
        done = measure("reranker_speed", candidates=candidates, requests=requests).named(f"{candidates} candidates")
        say(done)
        found.append(Timed(candidates, requests, **_plain(done.result)))
    return part(machine("make bench ARGS='--part reranker'"), found)


def _plain(result: dict[str, Any]) -> dict[str, Any]:
    return {"seconds": result["seconds"], "tokens": result["tokens"]}


def part(where: str, found: Sequence[Timed]) -> str:
    """The part's text; `where` is `page.machine`."""
    tokens = found[0].tokens
    return "".join(
        [
            "# The language-model re-ranker\n\n",
            where,
            f"MiniLM (22 M parameters) on one thread, float32. Each request has a new history of {EVENTS} events, "
            f"{tokens['history']:.0f} tokens, and new candidates of {tokens['candidate']:.0f} tokens on average, "
            "titles of random words. All ways score the same pairs, in turn, in one process; medians. `"
            f"{CROSS_ENCODER}` has the same weights and the same texts, in batches of 32 sorted by length.\n\n",
            "## Milliseconds a request\n\n",
            _table(found, lambda one, way: f"{1000 * one.seconds[way]:,.0f}"),
            "\n## Pairs a second\n\n",
            _table(found, lambda one, way: f"{one.candidates / one.seconds[way]:,.0f}"),
            f"\n## Times as fast as {CROSS_ENCODER}\n\n",
            _table(found, lambda one, way: f"{one.seconds[CROSS_ENCODER] / one.seconds[way]:.1f}"),
            f"\n`{KEPT}` is what a bundle serves by default (`training.lm.joint_layers: 2`) for items of its "
            f"catalogue. `{SHARED}` trains and reads all six layers jointly.\n",
        ]
    )


def _table(found: Sequence[Timed], cell: Any) -> str:
    head = "".join(f" {one.candidates} candidates |" for one in found)
    rows = "".join(f"| {way} |" + "".join(f" {cell(one, way)} |" for one in found) + "\n" for way in WAYS)
    return f"| |{head}\n|---|{'---:|' * len(found)}\n{rows}"
