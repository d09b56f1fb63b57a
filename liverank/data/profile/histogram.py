"""Spreads of counts and durations in few figures: quantiles, and bins that widen with the value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from liverank.data.profile.engine import Engine

COUNT_EDGES: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000)
"""Lower edges of the bins of a count of things; the last one is open."""
SECOND_EDGES: Final = (0, 1, 10, 60, 600, 1800, 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400)
"""Lower edges of the bins of a duration, in seconds."""


def spread(engine: Engine, values: str, edges: Sequence[int] = COUNT_EDGES) -> dict[str, Any]:
    """How the column `v` of the query `values` is spread; every figure is None where it has no row.

    Returns:
        `n`, `mean`, `p50`, `p90`, `p99`, `max` and `bins`: `[{from, to, n}]` without the empty ones at either end,
        `to` exclusive, None at the open end.
    """
    counts = ", ".join(
        f"count(*) FILTER (WHERE v >= {low}{_below(edges, at)}) AS b{at}" for at, low in enumerate(edges)
    )
    quantiles = "quantile_disc(v, 0.5) AS p50, quantile_disc(v, 0.9) AS p90, quantile_disc(v, 0.99) AS p99"
    row = engine.row(f"SELECT count(v) AS n, avg(v) AS mean, max(v) AS max, {quantiles}, {counts} FROM ({values})")
    bins = [
        {"from": low, "to": edges[at + 1] if at + 1 < len(edges) else None, "n": row[f"b{at}"]}
        for at, low in enumerate(edges)
    ]
    return {name: row[name] for name in ("n", "mean", "p50", "p90", "p99", "max")} | {"bins": _trimmed(bins)}


def _below(edges: Sequence[int], at: int) -> str:
    return f" AND v < {edges[at + 1]}" if at + 1 < len(edges) else ""


def _trimmed(bins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    filled = [at for at, one in enumerate(bins) if one["n"]]
    return bins[filled[0] : filled[-1] + 1] if filled else []
