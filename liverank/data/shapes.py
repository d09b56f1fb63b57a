"""Shapes of data: how much users do, how popularity is shared out, what is repeated, baskets, gaps, what is new, texts.

They are figures that two data sets can be compared by whatever they are about; docs/synthetic.md has them for the
generated world and for real sets.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from liverank.data.catalogue import Floats


@dataclass(frozen=True)
class Shapes:
    """What a log of events looks like; None where it cannot be told (no times, no texts)."""

    users: float
    items: float
    events: float
    events_per_user_p10: float
    events_per_user_p50: float
    events_per_user_p90: float
    events_per_user_p99: float
    item_gini: float
    """Of events over items that have any: 0 is even, 1 is all on one."""
    top_percent_share: float
    """Share of the events that the most popular hundredth of the items has."""
    zipf_slope: float
    """Of log events over log rank, among the first tenth of the items: about -1 in many catalogues."""
    baskets_per_user_p50: float
    baskets_per_user_p90: float
    basket_items_p50: float
    """Different items of a basket: an invoice, a session."""
    basket_items_p90: float
    repeat_share: float
    """Of users' second and later baskets: share of the items that were in one of their earlier ones."""
    days_between_p50: float | None
    """Days between two baskets of a user."""
    new_item_share: float | None
    """Share of the last tenth of time's events that are on items never met before it."""
    new_user_share: float | None
    """Share of the last tenth of time's users that were never met before it."""
    title_words_p50: float | None


def shapes(connection: DuckDBPyConnection, events: str, titles: str = "") -> Shapes:
    """The shapes of a log.

    Args:
        connection: a DuckDB that knows the relations.
        events: a relation with columns `u` user, `i` item, `b` basket and `t` time (null where there is none; baskets
            of a user are then in the order of `b`).
        titles: a relation with a column `title`, one row an item.
    """
    connection.execute(f"CREATE OR REPLACE TEMP VIEW shaped AS SELECT u, i, b, t FROM {events}")
    per_user = _column(connection, "SELECT count(*) FROM shaped GROUP BY u")
    per_item = _column(connection, "SELECT count(*) FROM shaped GROUP BY i")
    baskets = "(SELECT u, b, min(t) AS t, count(DISTINCT i) AS n FROM shaped GROUP BY u, b)"
    per_basket = _column(connection, f"SELECT n FROM {baskets}")
    baskets_of = _column(connection, f"SELECT count(*) FROM {baskets} GROUP BY u")
    gaps = _column(
        connection,
        f"""SELECT epoch(t - lag(t) OVER (PARTITION BY u ORDER BY t, b)) / 86400 AS gap FROM {baskets}
            QUALIFY gap IS NOT NULL""",
    )
    words = (
        _column(connection, f"SELECT len(string_split(trim(title), ' ')) FROM {titles} WHERE title <> ''")
        if titles
        else np.array([])
    )
    items, users = _new(connection)
    return Shapes(
        users=len(per_user),
        items=len(per_item),
        events=float(per_user.sum()),
        **{f"events_per_user_p{q}": float(np.percentile(per_user, q)) for q in (10, 50, 90, 99)},
        item_gini=gini(per_item),
        top_percent_share=float(np.sort(per_item)[::-1][: max(1, len(per_item) // 100)].sum() / per_item.sum()),
        zipf_slope=zipf_slope(per_item),
        **{f"baskets_per_user_p{q}": float(np.percentile(baskets_of, q)) for q in (50, 90)},
        **{f"basket_items_p{q}": float(np.percentile(per_basket, q)) for q in (50, 90)},
        repeat_share=_repeats(connection),
        days_between_p50=float(np.median(gaps)) if len(gaps) else None,
        new_item_share=items,
        new_user_share=users,
        title_words_p50=float(np.median(words)) if len(words) else None,
    )


def shapes_of_dataset(folder: Path, types: tuple[str, ...] = ("purchase",)) -> Shapes:
    """The shapes of a dataset folder's interactions of some types; a basket is a session."""
    import duckdb

    wanted = ", ".join(f"'{kind}'" for kind in types)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"""CREATE VIEW log AS
                SELECT user_id AS u, item_id AS i, coalesce(session_id, event_id) AS b, timestamp AS t
                FROM read_parquet('{folder / "interactions.parquet"}') WHERE type IN ({wanted})"""
        )
        connection.execute(f"CREATE VIEW names AS FROM read_parquet('{folder / 'items.parquet'}')")
        return shapes(connection, "log", "names")


def gini(counts: Floats) -> float:
    """How unevenly counts are shared out: sum of |x - y| over all pairs / (2 n^2 mean); 0 for even ones."""
    ranked = np.sort(counts)
    n = len(ranked)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ranked / (n * ranked.sum()))


def zipf_slope(counts: Floats) -> float:
    """Slope of log count over log rank by least squares, over the first tenth of the ranks (at least ten)."""
    ranked = np.sort(counts)[::-1][: max(10, len(counts) // 10)]
    return float(np.polyfit(np.log(np.arange(1, len(ranked) + 1)), np.log(ranked), 1)[0])


def table(columns: dict[str, Shapes]) -> str:
    """The shapes of several logs side by side, as a Markdown table."""
    lines = ["| shape | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for field in fields(Shapes):
        values = [_told(field.name, getattr(one, field.name)) for one in columns.values()]
        lines.append(f"| {field.name.replace('_', ' ')} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def _told(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name.endswith("share"):
        return f"{100 * value:.1f} %"
    return f"{value:,.0f}" if abs(value) >= 100 or name in ("users", "items", "events") else f"{value:.2g}"


def _column(connection: DuckDBPyConnection, query: str) -> Floats:
    return np.array([row[0] for row in connection.execute(query).fetchall()], np.float64)


def _repeats(connection: DuckDBPyConnection) -> float:
    query = """
        WITH bought AS (
            SELECT u, i, b, dense_rank() OVER (PARTITION BY u ORDER BY started, b) AS turn
            FROM (SELECT u, i, b, min(min(t)) OVER (PARTITION BY u, b) AS started FROM shaped GROUP BY u, i, b)
        ), again AS (SELECT turn, turn > min(turn) OVER (PARTITION BY u, i) AS known FROM bought)
        SELECT avg(known::INT) FROM again WHERE turn > 1
    """
    (found,) = connection.execute(query).fetchall()
    return float(found[0] or 0)


def _new(connection: DuckDBPyConnection) -> tuple[float | None, float | None]:
    query = """
        WITH span AS (SELECT min(t) + (max(t) - min(t)) * 0.9 AS cut FROM shaped),
            firsts AS (
                SELECT *, min(t) OVER (PARTITION BY i) AS item, min(t) OVER (PARTITION BY u) AS person FROM shaped
            )
        SELECT avg((item >= cut)::INT), count(DISTINCT u) FILTER (person >= cut) / count(DISTINCT u)
        FROM firsts, span WHERE t >= cut
    """
    (found,) = connection.execute(query).fetchall()
    return (None, None) if found[0] is None else (float(found[0]), float(found[1]))
