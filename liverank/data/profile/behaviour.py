"""What users do: how much, in which sessions and baskets, what they come back to, and who is likely no person."""

from __future__ import annotations

from typing import Any, Final

from liverank.data.profile.engine import Engine, Row
from liverank.data.profile.histogram import SECOND_EDGES, spread

LEAST_JUDGED: Final = 100
"""Events below which nobody is called a bot."""
SESSION_GAP: Final = 1800
"""Seconds without an event that end a session, as the features step has it by default."""
BURST: Final = 300
"""Different moments in one hour: one every twelve seconds, all hour long."""
SLEEPLESS: Final = 20
"""Different hours of one day."""
REGULAR_GAPS: Final = 100
REGULAR: Final = 0.15
"""Standard deviation of a user's gaps, as a share of their mean."""


def load_events(engine: Engine) -> None:
    """Makes the table `events`: an interaction a row, ids as hashes (user ids go no further than here).

    `born`: the user's first event; `gap`: seconds since the user's event before, null for the first; `place`: its
    number among the user's events; `opens`: whether it opens a session.
    """
    engine.run(
        f"""CREATE TABLE events AS
        SELECT person, item, type, instant, born, gap, place, before,
            gap IS NULL OR gap > {SESSION_GAP} OR (gap > 0 AND coalesce(visit <> last_visit, false)) AS opens
        FROM (
            SELECT *, epoch(instant) - epoch(before) AS gap FROM (
                SELECT person, item, type, instant, visit, lag(instant) OVER w AS before,
                    lag(visit) OVER w AS last_visit, first_value(instant) OVER w AS born, row_number() OVER w AS place
                FROM (SELECT hash(user_id) AS person, hash(item_id) AS item, type, timestamp AS instant,
                    hash(session_id) AS visit FROM interactions)
                WINDOW w AS (PARTITION BY person ORDER BY instant)
            )
        )"""
    )
    engine.run(
        "CREATE TABLE people AS SELECT person, count(*) AS n, min(instant) AS first, max(instant) AS last "
        "FROM events GROUP BY person"
    )


def users(engine: Engine) -> dict[str, Any]:
    """How many users there are and how their events are spread."""
    row = engine.row("SELECT count(*) AS active, count(*) FILTER (WHERE n = 1) AS once FROM people")
    return {
        **row,
        "events": spread(engine, "SELECT n AS v FROM people"),
        "top_shares": top_shares(engine, "people"),
        "days": spread(engine, "SELECT date_diff('day', first, last) + 1 AS v FROM people"),
    }


def top_shares(engine: Engine, table: str) -> dict[str, float]:
    """Share of the events that the top 1 % and the top 10 % of a table's rows have (at least one row)."""
    row = engine.row(
        f"""SELECT sum(n)::DOUBLE AS total,
            sum(n) FILTER (WHERE rank <= greatest(1, round(size * 0.01)))::DOUBLE AS one,
            sum(n) FILTER (WHERE rank <= greatest(1, round(size * 0.1)))::DOUBLE AS ten
        FROM (SELECT n, row_number() OVER (ORDER BY n DESC) AS rank, count(*) OVER () AS size FROM {table})"""
    )
    total = row["total"]
    return {"1%": row["one"] / total, "10%": row["ten"] / total} if total else {}


def sessions(engine: Engine) -> dict[str, Any]:
    """Sessions: events in each, seconds from first to last event, and the gaps between a user's moments.

    `several`: sessions of more than one event; `at_once`: those of them that are one instant.
    """
    engine.run(
        """CREATE TABLE sessions AS
        SELECT coalesce(next_place, n + 1) - place AS events,
            epoch(coalesce(next_before, last)) - epoch(instant) AS seconds
        FROM (SELECT person, instant, place, lead(place) OVER w AS next_place, lead(before) OVER w AS next_before
            FROM events WHERE opens WINDOW w AS (PARTITION BY person ORDER BY place)) JOIN people USING (person)"""
    )
    return {
        "gap_minutes": SESSION_GAP // 60,
        **engine.row(
            "SELECT count(*) FILTER (WHERE events > 1) AS several, "
            "count(*) FILTER (WHERE events > 1 AND seconds = 0) AS at_once FROM sessions"
        ),
        "events": spread(engine, "SELECT events AS v FROM sessions"),
        "seconds": spread(engine, "SELECT seconds AS v FROM sessions", SECOND_EDGES),
        "gaps": spread(engine, "SELECT gap AS v FROM events WHERE gap > 0", SECOND_EDGES),
    }


def baskets(engine: Engine) -> dict[str, Any]:
    """Items that one user took at one instant: purchases where there are any, else the most frequent type."""
    types = engine.rows(
        "SELECT type, count(*) AS n FROM events GROUP BY type ORDER BY type <> 'purchase', n DESC, type LIMIT 1"
    )
    if not types:
        return {"type": None, "items": spread(engine, "SELECT NULL::BIGINT AS v")}
    kind = types[0]["type"].replace("'", "''")
    sizes = f"SELECT count(DISTINCT item) AS v FROM events WHERE type = '{kind}' GROUP BY person, instant"
    return {"type": types[0]["type"], "items": spread(engine, sizes)}


def repeats(engine: Engine) -> list[Row]:
    """For each type: events on an item for which the same user had one of that type before.

    Returns:
        `[{type, n, again, first}]`, `n` events, `again` of them repeats, the most frequent type first.
    """
    return engine.rows(
        """SELECT type, sum(n)::BIGINT AS n, (sum(n) - count(*))::BIGINT AS again
        FROM (SELECT type, person, item, count(*) AS n FROM events GROUP BY ALL) GROUP BY type ORDER BY n DESC, type"""
    )


def bots(engine: Engine) -> dict[str, Any]:
    """Users whose events look like no person's, by rule, of those with enough to judge.

    Returns:
        `users` and `events` in all, `rules`: `[{rule, users, events}]`.
    """
    engine.run(f"CREATE TEMP TABLE busy AS SELECT * FROM events WHERE person IN ({_busy()})")
    engine.run(
        f"""CREATE TEMP TABLE suspects AS
        SELECT person, n, moments >= {BURST} AS bursts, coalesce(hours, 0) >= {SLEEPLESS} AS sleepless,
            coalesce(regular, false) AS regular
        FROM people JOIN (SELECT person, max(m) AS moments FROM (
            SELECT person, date_trunc('hour', instant), count(DISTINCT instant) AS m FROM busy
            GROUP BY ALL) GROUP BY person)
        USING (person) LEFT JOIN (SELECT person, max(h) AS hours FROM (
            SELECT person, date_trunc('day', instant), count(DISTINCT hour(instant)) AS h FROM busy
            GROUP BY ALL) GROUP BY person)
        USING (person) LEFT JOIN (
            SELECT person, count(*) >= {REGULAR_GAPS} AND stddev_pop(gap) < {REGULAR} * avg(gap) AS regular
            FROM busy WHERE gap > 0 AND gap <= {SESSION_GAP} GROUP BY person) USING (person)"""
    )
    rules = [
        {"rule": rule, **engine.row(f"SELECT count(*) AS users, coalesce(sum(n), 0)::BIGINT AS events {_broke(rule)}")}
        for rule in ("bursts", "sleepless", "regular")
    ]
    total = engine.row(
        f"SELECT count(*) AS users, coalesce(sum(n), 0)::BIGINT AS events {_broke('bursts OR sleepless OR regular')}"
    )
    return {**total, "rules": rules}


def _busy() -> str:
    return f"SELECT person FROM people WHERE n >= {LEAST_JUDGED}"


def _broke(rule: str) -> str:
    return f"FROM suspects WHERE {rule}"
