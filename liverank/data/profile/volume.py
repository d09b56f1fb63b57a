"""When things happen: volumes over time, the week's pattern, what was never seen before, what arrives late."""

from __future__ import annotations

from typing import Any, Final

from liverank.data.profile.engine import Engine, Row, iso
from liverank.data.profile.histogram import spread
from liverank.data.profile.span import KEPT, KEPT_EVENTS, left_out

MOST_TYPES: Final = 7
MOST_LISTED_TYPES: Final = 20
MOST_BUCKETS: Final = 150
_SECONDS: Final = {"hour": 3600, "day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400, "year": 365 * 86_400}
LATE_EDGES: Final = (0, 1, 60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400)


def bucket_of(engine: Engine) -> str:
    """The unit of time in which all that is drawn is drawn: the finest with at most `MOST_BUCKETS` of them."""
    row = engine.row(f"SELECT epoch(max(hour)) - epoch(min(hour)) AS seconds FROM hours WHERE {KEPT}")
    seconds = row["seconds"] or 0
    # Below two days, hours tell more than two columns.
    finest = "hour" if seconds <= 2 * 86_400 else "day"
    units = list(_SECONDS)[list(_SECONDS).index(finest) :]
    return next((unit for unit in units if seconds / _SECONDS[unit] < MOST_BUCKETS), "year")


def over_time(engine: Engine, bucket: str) -> dict[str, Any]:
    """Events of each type and shown lists in each unit of time; rare types are one, `other`.

    Returns:
        `bucket`, `types` (most frequent first), `points`: `[{at, lists, <type>: n}]`, one a unit, gaps as zeros;
        `left`: what lies too far from all else to be drawn.
    """
    totals = engine.rows("SELECT type, sum(n)::BIGINT AS n FROM hours GROUP BY type ORDER BY n DESC, type")
    types = [row["type"] for row in totals[:MOST_TYPES]]
    rows = engine.rows(
        f"SELECT date_trunc('{bucket}', hour) AS at, type, sum(n)::BIGINT AS n FROM hours WHERE {KEPT} GROUP BY ALL"
    )
    lists = engine.rows(
        f"SELECT date_trunc('{bucket}', hour) AS at, sum(n)::BIGINT AS n FROM list_hours WHERE {KEPT} GROUP BY ALL"
    )
    counts: dict[Any, dict[str, int]] = {}
    for row in rows:
        name = row["type"] if row["type"] in types else "other"
        point = counts.setdefault(row["at"], {})
        point[name] = point.get(name, 0) + row["n"]
    shown = {row["at"]: row["n"] for row in lists}
    instants = _every(engine, bucket, [*counts, *shown])
    names = types + (["other"] if len(totals) > len(types) else [])
    points = [
        {"at": iso(at), "lists": shown.get(at, 0), "types": [counts.get(at, {}).get(name, 0) for name in names]}
        for at in instants
    ]
    total = {row["type"]: row["n"] for row in totals}
    kept = {name: total.get(name, 0) for name in types}
    if len(totals) > len(types):
        kept["other"] = sum(total.values()) - sum(kept.values())
    return {"bucket": bucket, "types": names, "totals": kept, "points": points, "left": left_out(engine)}


def _every(engine: Engine, bucket: str, instants: list[Any]) -> list[Any]:
    """All units between the first and the last; only those with rows where that would be too many."""
    if not instants:
        return []
    first, last = min(instants), max(instants)
    if (last - first).total_seconds() / _SECONDS[bucket] > 10 * MOST_BUCKETS:
        return sorted(instants)
    rows = engine.rows(
        f"SELECT unnest(generate_series(?::TIMESTAMP, ?::TIMESTAMP, INTERVAL 1 {bucket})) AS at", first, last
    )
    return [row["at"] for row in rows]


def types(engine: Engine) -> list[Row]:
    """Events of each type, by how many users and on how many items (both to some 2 %), the most frequent first."""
    return engine.rows(
        """SELECT type, count(*) AS n, approx_count_distinct(person) AS users, approx_count_distinct(item) AS items
        FROM events GROUP BY type ORDER BY n DESC, type LIMIT ?""",
        MOST_LISTED_TYPES,
    )


def week(engine: Engine) -> list[list[int]]:
    """Events by weekday (Monday first) and hour, UTC, `[7][24]`."""
    grid = [[0] * 24 for _ in range(7)]
    rows = engine.rows("SELECT isodow(hour) AS day, hour(hour) AS hour, sum(n)::BIGINT AS n FROM hours GROUP BY 1, 2")
    for row in rows:
        grid[row["day"] - 1][row["hour"]] = row["n"]
    return grid


def unseen(engine: Engine, bucket: str) -> list[Row]:
    """What a model that is trained at the start of each unit of time has not met in it.

    Returns:
        `[{at, n, items, users}]`: events, and how many of them are on items (by users) whose first event lies in it.
        The shown lists do not count as having met.
    """
    rows = engine.rows(
        f"""WITH parts AS (SELECT item, date_trunc('{bucket}', instant) AS moment, count(*) AS n
                FROM events WHERE {KEPT_EVENTS} GROUP BY ALL),
            births AS (SELECT min(moment) AS moment, arg_min(n, moment) AS n FROM parts GROUP BY item),
            items AS (SELECT moment, sum(n)::BIGINT AS items FROM births GROUP BY moment)
        SELECT date_trunc('{bucket}', instant) AS moment, count(*) AS n, coalesce(any_value(items), 0) AS items,
            count(*) FILTER (WHERE date_trunc('{bucket}', born) = date_trunc('{bucket}', instant)) AS users
        FROM events LEFT JOIN items ON items.moment = date_trunc('{bucket}', instant) WHERE {KEPT_EVENTS}
        GROUP BY 1 ORDER BY 1"""
    )
    return [{"at": iso(row["moment"]), "n": row["n"], "items": row["items"], "users": row["users"]} for row in rows]


def lateness(engine: Engine) -> dict[str, Any]:
    """How long after they happened events arrived, in seconds, of those that say so; `early`: before they happened."""
    delay = "epoch(received_at) - epoch(timestamp)"
    known = engine.row(
        f"SELECT count(*) AS n, count(received_at) AS told, count(*) FILTER (WHERE {delay} < 0) AS early "
        "FROM interactions"
    )
    delays = f"SELECT {delay} AS v FROM interactions WHERE received_at >= timestamp"
    return {**known, "seconds": spread(engine, delays, LATE_EDGES) if known["told"] else None}
