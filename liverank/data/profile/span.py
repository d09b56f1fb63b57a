"""The span of time that charts draw: a few times years from all others, as dirt has them, do not stretch it."""

from __future__ import annotations

from typing import Any, Final

from liverank.data.profile.engine import Engine, iso

FEW: Final = 20
"""One row in so many, at either end, may lie far from the others."""
LEAST: Final = 100
"""Rows below which none is called far."""
KEPT: Final = "hour BETWEEN (SELECT low FROM charted) AND (SELECT high FROM charted)"
"""Which rows of `hours` and `list_hours` are drawn."""
KEPT_EVENTS: Final = "instant >= (SELECT low FROM charted) AND instant < (SELECT high FROM charted) + INTERVAL 1 HOUR"


def load_hours(engine: Engine) -> None:
    """Makes the tables `hours` (interactions by hour and type), `list_hours` (shown lists by hour) and `charted`.

    `charted` has one row, the first and the last hour drawn: a tail of at most one row in twenty is left out where
    nothing lies between it and the rest for longer than the rest's whole span (and a day).
    """
    engine.run(
        "CREATE TABLE hours AS SELECT date_trunc('hour', timestamp) AS hour, type, count(*) AS n "
        "FROM interactions GROUP BY ALL"
    )
    engine.run(
        "CREATE TABLE list_hours AS SELECT date_trunc('hour', timestamp) AS hour, count(*) AS n "
        "FROM impressions GROUP BY ALL"
    )
    engine.run(
        f"""CREATE TABLE charted AS
        WITH moments AS (SELECT 'event' AS part, hour, sum(n) AS n FROM hours GROUP BY ALL
                UNION ALL SELECT 'list', hour, n FROM list_hours),
            counted AS (SELECT part, hour, sum(n) OVER (PARTITION BY part ORDER BY hour) AS upto,
                sum(n) OVER (PARTITION BY part) AS total FROM moments),
            allowed AS (SELECT *, CASE WHEN total < {LEAST} THEN 0 ELSE total // {FEW} END AS few FROM counted),
            cores AS (SELECT part, min(hour) FILTER (WHERE upto > few) AS low,
                min(hour) FILTER (WHERE upto >= total - few) AS high FROM allowed GROUP BY part),
            core AS (SELECT min(low) AS low, max(high) AS high, greatest(max(high) - min(low), INTERVAL 1 DAY) AS room
                FROM cores),
            steps AS (SELECT hour, hour - lag(hour) OVER w AS since, lead(hour) OVER w - hour AS until
                FROM (SELECT DISTINCT hour FROM moments) WINDOW w AS (ORDER BY hour))
        SELECT max(hour) FILTER (WHERE hour <= low AND coalesce(since > room, true)) AS low,
            min(hour) FILTER (WHERE hour >= high AND coalesce(until > room, true)) AS high FROM steps, core"""
    )


def left_out(engine: Engine) -> dict[str, Any]:
    """What is not drawn: `events`, `lists`, and the `first` and the `last` hour among them."""
    found = engine.row(
        f"""SELECT coalesce(sum(n) FILTER (WHERE part = 'event'), 0)::BIGINT AS events,
            coalesce(sum(n) FILTER (WHERE part = 'list'), 0)::BIGINT AS lists, min(hour) AS first, max(hour) AS last
        FROM (SELECT 'event' AS part, hour, n FROM hours UNION ALL SELECT 'list', hour, n FROM list_hours)
        WHERE NOT ({KEPT})"""
    )
    return {**found, "first": iso(found["first"]), "last": iso(found["last"])}
