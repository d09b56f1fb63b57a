"""The part of docs/benchmarks.md on new items: what it costs a server to learn of one, by the size of its catalogue,
and to rank some that it was never told of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.interest_bundle import make
from benchmarks.measure import measure, say
from benchmarks.new_items_stages import CANDIDATES, UNKNOWN
from benchmarks.page import machine

SIZES: Final = (3_000, 30_000, 100_000)


def run(work: Path, sizes: Sequence[int] = SIZES) -> str:
    """Makes a bundle, lets it grow to each size, and times one more item; the part's text."""
    bundle = make(work)
    found = {}
    for size in sizes:
        done = measure("new_items", bundle=str(bundle), items=size)
        say(done.named(f"new items: {size:,}"))
        found[size] = done.result
    done = measure("offered_items", bundle=str(bundle))
    say(done.named("unknown items"))
    return part(machine("make bench ARGS='--part new-items'"), found, done.result)


def part(where: str, found: Mapping[int, Mapping[str, Any]], offered: Mapping[str, Any]) -> str:
    """The part's text; `where` is `page.machine`."""
    rows = "".join(
        f"| {size:,} | {of['new_ms']:.1f} | {of['rewritten_ms']:.1f} | {of['held_mib']:.2f} |\n"
        for size, of in found.items()
    )
    text = next(iter(found.values()))["text_ms"]
    return (
        "# A new item\n\n"
        f"{where}"
        "What `PUT /v1/items` has a model do for one item, on one core in the process: a new one, and a known one "
        f"whose text has changed. Beside that its text is encoded, {text:.1f} ms whatever the catalogue. Items beyond "
        "the bundle's own have random vectors. The blend with the interest model; medians. *Held*: what the process "
        "holds more after each of 100 new items.\n\n"
        "| items | new, ms | rewritten, ms | held, MiB |\n|---:|---:|---:|---:|\n"
        f"{rows}"
        f"\nA list of {CANDIDATES} candidates, history of 50 events read anew, is scored in {offered['known_ms']:.1f} "
        f"ms; with {UNKNOWN} candidates among them that the model has never met, whose texts came with requests "
        f"before, in {offered['unknown_ms']:.1f} ms. The first time their texts take {offered['first_ms']:.0f} ms, "
        "beside the model's thread.\n"
    )
