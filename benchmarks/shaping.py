"""The part of docs/benchmarks.md on list shaping: what rules, diversity and exploration add to an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.measure import measure, say
from benchmarks.page import Bar, machine
from benchmarks.shaping_stages import BRANDS, CATEGORIES, NEW_SHARE, WAYS, WIDTH

SHAPES: Final = ((500, 10), (500, 50), (1000, 10))
"""Candidates and how many of them are shown."""
LISTS: Final = 100
MOST_MS: Final = 2.0
MEASURED: Final = "a cap, MMR"

Found = Mapping[str, Mapping[str, float]]
"""Way -> `best` or `drawn` -> median processor milliseconds a list."""


def run(shapes: Sequence[tuple[int, int]] = SHAPES, lists: int = LISTS) -> str:
    """Measures every shape in a process of its own; the part's text."""
    found: dict[tuple[int, int], Found] = {}
    for candidates, k in shapes:
        done = measure("shaping", candidates=candidates, k=k, lists=lists).named(f"{k} of {candidates} candidates")
        say(done)
        found[candidates, k] = done.result
    return part(machine("make bench ARGS='--part shaping'"), found)


def part(where: str, found: Mapping[tuple[int, int], Found]) -> str:
    """The part's text; `where` is `page.machine`."""
    first = next(iter(found))
    head = "".join(f" {k} of {candidates} | drawn |" for candidates, k in found)
    rows = "".join(
        f"| {way} |" + "".join(f" {one[way]['best']:.2f} | {one[way]['drawn']:.2f} |" for one in found.values()) + "\n"
        for way in WAYS
    )
    bar = Bar(f"{MEASURED}, {first[1]} of {first[0]}", found[first][MEASURED]["best"], MOST_MS, "ms")
    return (
        f"# Rules and list shaping\n\n{where}Processor milliseconds to arrange a list, medians; `drawn`: ten positions "
        f"explored. {CATEGORIES} categories, {BRANDS} brands, {NEW_SHARE:.0%} new items, embeddings of {WIDTH} "
        "columns; caps and the minimum of new items hold within 10, diversity to a depth of 10.\n\n"
        f"| |{head}\n|---|{'---:|' * (2 * len(found))}\n{rows}"
        f"\n| bar | measured | at most | |\n|---|---:|---:|---|\n{bar.row()}"
    )
