"""The part of docs/benchmarks.md on the soak."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.latency import quantile
from benchmarks.soak.memory import SEEN_MIB_AN_HOUR, Memory
from benchmarks.soak.run import Outcome
from benchmarks.soak.traffic import CANDIDATES, MIX, SHOWN, USERS


def part(where: str, redis: str, found: Outcome) -> str:
    """The part's text; `where` is `page.machine`."""
    tally = found.tally
    mix = ", ".join(f"{share} % {kind}" for kind, share in MIX.items())
    return (
        f"# Soak\n\n{where}"
        f"{found.seconds:,.0f} seconds of open-loop requests at {found.rate / found.capacity:.0%} of the "
        f"{found.capacity:,.0f} requests a second that two servers on one Redis ({redis}, `appendonly yes`, "
        f"`appendfsync always`) answered just before; {mix}; {CANDIDATES} candidates, {SHOWN} shown, {USERS} users, "
        f"each with {found.plan.events} events before the first. "
        "Servers, Redis and client on the same cores. "
        "Meanwhile the model is swapped between two versions of a registry, Redis is restarted twice, and one server "
        "is killed and started again. At the end each user is exported, and compared with what was acknowledged.\n\n"
        + _table(
            ("check", "found", ""),
            ((of.name, of.found, of.verdict if of.passed else f"**{of.verdict}**") for of in found.checks),
        )
        + "\n"
        + _table(
            ("request", "sent", "answered", "refused", "p50 ms", "p99 ms"),
            ((kind, f"{tally.sent[kind]:,}", *_answers(tally.milliseconds[kind], tally.refused[kind])) for kind in MIX),
        )
        + "\n"
        + _table(
            ("process", "MiB after two thirds", "at the end", "MiB an hour in between", "95 % interval"),
            (_memory(of, found.seconds) for of in found.memories),
        )
        + f"\n{tally.unreachable:,} attempts met the killed server and went to the other one, "
        f"{tally.refusals.total():,} a refusal; {tally.held_back:,} requests came due while too many were open, and "
        f"were not sent. Rankings that lacked something: {_degraded(found)}.\n\n"
        "Memory is judged by its slope over the last third, by the regression of ten block means, whose interval knows "
        "of autocorrelation; it fails where the whole interval is above zero, and says *cannot tell* where half of the "
        f"interval is more than the {SEEN_MIB_AN_HOUR:.0f} MiB an hour that have to be seen.\n"
    )


def _answers(milliseconds: list[float], refused: int) -> tuple[str, ...]:
    taken = sorted(milliseconds)
    figures = (f"{quantile(taken, share):.1f}" if taken else "" for share in (0.5, 0.99))
    return f"{len(taken):,}", f"{refused:,}", *figures


def _memory(memory: Memory, whole: float) -> tuple[str, ...]:
    late = [held for at, held in zip(memory.seconds, memory.mib, strict=True) if at >= whole * 2 / 3]
    found = memory.last_third(whole)
    if found is None:
        return memory.name, "", "", "", ""
    interval = f"{found.low:+.1f} to {found.high:+.1f}"
    return memory.name, f"{late[0]:,.0f}", f"{late[-1]:,.0f}", f"{found.estimate:+.1f}", interval


def _degraded(found: Outcome) -> str:
    return ", ".join(f"{count:,} *{why}*" for why, count in found.tally.degraded.most_common()) or "none"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |".replace("  |", " |") for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) + "\n"
