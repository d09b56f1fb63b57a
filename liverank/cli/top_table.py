"""The figures of `liverank top` as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from liverank.cli.top_figures import Figures, Timed

NOTHING = "-"


def shown(found: Figures, url: str) -> RenderableType:
    """One screen: what the server is, its rates, where the time goes, what is amiss."""
    facts = Table.grid(padding=(0, 2))
    for name, said in (
        ("server", f"{url}  version {', '.join(found.models) or NOTHING}, age {_age(found.model_age)}"),
        (
            "answers",
            f"{found.requests_per_second:.1f}/s, refused {found.refused_per_second:.1f}/s, "
            f"failed {found.failed_per_second:.1f}/s",
        ),
        (
            "waiting",
            f"{found.queue} requests, {found.log_queue} appends; batches of {_number(found.batch)} requests",
        ),
        ("degraded", _rates(found.degraded_per_second)),
        ("impressions", f"{found.dropped} not recorded since the start"),
        (
            "events",
            f"{found.records_per_second:.1f} records/s; age of the newest {_age(found.newest_event_age)}, "
            f"of the ranked users' newest {_age(found.history_age_p50)} (median)",
        ),
        ("caches", ", ".join(f"{name} {share:.0%} hits" for name, share in found.cache_hits.items()) or NOTHING),
        ("memory", NOTHING if found.resident_bytes is None else f"{found.resident_bytes / 2**20:.0f} MiB"),
    ):
        facts.add_row(Text(name, style="bold"), Text(said))
    return Group(facts, _table("route", found.routes), _table("stage", found.stages))


def _table(name: str, rows: Sequence[Timed]) -> Table:
    table = Table(name, box=box.ASCII2)
    for head in ("per second", "p50 ms", "p99 ms"):
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(Text(row.name), f"{row.per_second:.1f}", _bounded(row, row.p50_ms), _bounded(row, row.p99_ms))
    return table


def _bounded(row: Timed, milliseconds: float | None) -> str:
    if milliseconds is None:
        return NOTHING
    return f"> {row.largest_ms:g}" if milliseconds >= row.largest_ms else f"{milliseconds:.2f}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _rates(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {rate:.1f}/s" for name, rate in rates.items()) or NOTHING


def _age(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
