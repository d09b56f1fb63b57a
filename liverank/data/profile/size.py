"""How much there is, since when, from where, and what was refused."""

from __future__ import annotations

from typing import Any, Final

from liverank.data.profile.engine import Engine, Row, iso

MOST_SOURCES: Final = 40
MOST_REASONS: Final = 12


def tables(engine: Engine) -> dict[str, Any]:
    """Rows of each table, and the span of those with times."""
    found: dict[str, Any] = {name: engine.row(f"SELECT count(*) AS rows FROM {name}") for name in ("items", "users")}
    for name in ("impressions", "interactions"):
        row = engine.row(f"SELECT count(*) AS rows, min(timestamp) AS first, max(timestamp) AS last FROM {name}")
        found[name] = {"rows": row["rows"], "first": iso(row["first"]), "last": iso(row["last"])}
    found["rejected"] = engine.row("SELECT count(*) AS rows FROM rejected")
    return found


def sources(engine: Engine) -> list[Row]:
    """Rows of each source by table, the largest first; the span is that of its interactions."""
    parts = " UNION ALL ".join(
        f"SELECT coalesce(origin, '') AS name, '{name}' AS part, count(*) AS n, "
        f"{'min(timestamp)' if timed else 'NULL::TIMESTAMP'} AS first, "
        f"{'max(timestamp)' if timed else 'NULL::TIMESTAMP'} AS last FROM {name} GROUP BY ALL"
        for name, timed in (("items", 0), ("users", 0), ("impressions", 0), ("interactions", 1), ("rejected", 0))
    )
    counts = ", ".join(
        f"coalesce(sum(n) FILTER (WHERE part = '{name}'), 0)::BIGINT AS {name}"
        for name in ("items", "users", "impressions", "interactions", "rejected")
    )
    rows = engine.rows(
        f"SELECT name, {counts}, min(first) AS first, max(last) AS last FROM ({parts}) GROUP BY name "
        "ORDER BY interactions DESC, impressions DESC, items DESC, name LIMIT ?",
        MOST_SOURCES,
    )
    return [{**row, "first": iso(row["first"]), "last": iso(row["last"])} for row in rows]


def reasons(engine: Engine) -> list[Row]:
    """Why rows were refused, the most frequent first."""
    return engine.rows(
        'SELECT "table", reason, count(*) AS n FROM rejected GROUP BY ALL ORDER BY n DESC, reason LIMIT ?', MOST_REASONS
    )
