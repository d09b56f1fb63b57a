"""The text of the part of docs/benchmarks.md on the server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.load import SHARES
from benchmarks.page import Bar, bars
from benchmarks.serving_world import COUNT, HISTORY, INTEREST, ITEMS

FLOOR, CROSS_ENCODER = "floor", "cross-encoder"
ANEW: Final = ", history read anew"
"""The same server without a memory of histories."""
NO_SERVER: Final = "interest in the process" + ANEW
"""The model alone, called at the same times."""
MOST_FLOORS: Final = 3.0
LEAST_TIMES: Final = 50.0


@dataclass(frozen=True)
class Cell:
    """One server under one load."""

    server: str
    candidates: int
    cpu_ms: float
    """Processor time of the server's process a request."""
    figures: dict[str, float]


@dataclass
class Measurements:
    """Everything that was measured."""

    closed: dict[int, list[Cell]] = field(default_factory=lambda: defaultdict(list))
    """By clients."""
    open: dict[int, list[Cell]] = field(default_factory=lambda: defaultdict(list))
    """By requests a second."""
    alone: list[Cell] = field(default_factory=list)
    """One after another, each by itself on all cores."""
    overheads: dict[tuple[str, int], float] = field(default_factory=dict)
    """Median ms beside the model's, by server and candidates."""
    rss_mib: dict[str, float] = field(default_factory=dict)

    def p50(self, server: str, candidates: int) -> float:
        """Median ms with one client."""
        cells = self.closed[1]
        return next(cell.figures["p50"] for cell in cells if (cell.server, cell.candidates) == (server, candidates))


def part(where: str, found: Measurements) -> str:
    """The part's text; `where` is `page.machine`."""
    text = (
        "# The server under load\n\n"
        f"{where}"
        f"`POST /v1/rank` over HTTP, a catalogue of {ITEMS:,} generated items, users with {HISTORY} events. Every "
        "server is a process on the first core, the client on the last; all run at once and are loaded in turns, but "
        "for the last table of the open loop. *count*, *interest* and *cascade* are liverank with the blend of counts, "
        "texts and linear weights, the same with the interest model, and that with the language model on top, which "
        "reads as many candidates as `serving.rerank_ms` (100) allows; *degraded* counts the answers that say that "
        "they lack something, for the cascade the lists that it did not finish. *History read anew*: without what is "
        "kept of a history while it is unchanged (`serving.history_cache_mib`), as after each event. *floor*: a bare "
        "Starlette that answers with the ids reversed. *cross-encoder*: sentence-transformers' CrossEncoder with the "
        "same MiniLM behind a plain FastAPI, 20 titles of history with each candidate. FlashRank is left out: its "
        "models cannot be had offline. The client is an event loop of Python's own; its share is in all figures "
        "alike.\n\n"
    )
    return f"{text}## Against the bars\n\n{_bars(found)}\n{_closed(found)}{_open(found)}{_rest(found)}"


def _bars(found: Measurements) -> str:
    floors = found.p50(COUNT, 100) / found.p50(FLOOR, 100)
    times = found.p50(CROSS_ENCODER, 100) / found.p50(INTEREST + ANEW, 100)
    fixed = next(cell.figures for cell in found.alone if cell.server == INTEREST + ANEW)
    rows = [
        Bar("count, 100 candidates, one client, p50 in floors", floors, MOST_FLOORS, "times"),
        Bar("interest alone, history read anew, 500 candidates at 50 a second, p50", fixed["p50"], 5, "ms"),
        Bar("the same, p99", fixed["p99"], 15, "ms"),
        Bar("interest, 500 candidates, server beside the model", found.overheads[INTEREST, 500], 1, "ms"),
    ]
    met = "met" if times >= LEAST_TIMES else "**missed**"
    slower = "cross-encoder, 100 candidates, p50 in those of interest, history read anew"
    return f"{bars(rows)}| {slower} | {times:,.0f} times | at least {LEAST_TIMES:.0f} times | {met} |\n"


def _closed(found: Measurements) -> str:
    text = "\n## Closed loop\n\nEach client sends its next request when the answer has come.\n"
    for clients, cells in found.closed.items():
        text += f"\n### {clients} client{'s' if clients > 1 else ''}\n\n{_table(cells)}"
    return text


def _open(found: Measurements) -> str:
    text = "\n## Open loop\n\nRequests at fixed times; each one's time counts from when it was due.\n"
    for rate, cells in found.open.items():
        text += f"\n### {rate} requests a second\n\n{_table(cells)}"
    return text + _alone(found)


def _alone(found: Measurements) -> str:
    return (
        "\n### 50 requests a second, one server alone\n\nNo other server runs, and this one and the client share all "
        f"cores. *{NO_SERVER}*: the model's own scoring, at the same times, with neither server nor client; what is "
        f"slow there is the model or the machine.\n\n{_table(found.alone)}"
    )


def _table(cells: Sequence[Cell]) -> str:
    text = "| server | candidates | " + " | ".join(f"{name} ms" for name in SHARES)
    text += " | answers a second | CPU ms an answer | answers | degraded | failed |\n"
    text += "|---|" + "---:|" * (len(SHARES) + 6) + "\n"
    for cell in cells:
        figures = cell.figures
        shares = " | ".join(f"{figures[name]:,.2f}" for name in SHARES) if figures["count"] else " | ".join("-" * 4)
        text += (
            f"| {cell.server} | {cell.candidates:,} | {shares} | {figures.get('rate', 0):,.0f} | {cell.cpu_ms:,.2f} "
        )
        text += f"| {figures['count']:,} | {figures['degraded']:,} | {figures['failed']:,} |\n"
    return text


def _rest(found: Measurements) -> str:
    text = "\n## Beside the model, and memory\n\n"
    text += "Median ms of a request that are neither the model's nor the wait for it.\n\n"
    text += "| server | candidates | ms |\n|---|---:|---:|\n"
    text += "".join(f"| {name} | {size} | {ms:.2f} |\n" for (name, size), ms in found.overheads.items())
    text += "\n| server | resident memory |\n|---|---:|\n"
    return text + "".join(f"| {name} | {mib:,.0f} MiB |\n" for name, mib in found.rss_mib.items())
