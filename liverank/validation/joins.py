"""Rules that need more than one row: SQL queries over `<table>_rows` that give the `row` of each row that fails.

Rows are numbered from 0 in the file's order. `known_<table> (id)` are ids of accepted rows, `<table>_barred (row)` the
rows that the checks so far set aside: rules on what a row has to do with others judge the rest only, so that a row that
goes anyway does not speak against its neighbours. Hashes only find what may be equal; equality is decided on values.
"""

from __future__ import annotations

from typing import Final

from liverank.validation.flags import filled

CONTENT: Final = "user_id, item_id, type, timestamp"
"""Equal in events that are one event under two ids."""


def repeated_ids(table: str, column: str) -> str:
    """All rows of an id but the first."""
    rows = f"(SELECT row, {column} FROM {table}_rows WHERE {filled(column)})"
    return _later_rows(rows, column)


def repeated_events() -> str:
    """All rows of an event but the first, where only the ids differ."""
    return _later_rows(f"(SELECT row, {CONTENT} FROM interactions_left)", CONTENT)


def _later_rows(rows: str, columns: str) -> str:
    """Two passes: few hashes occur twice, and only their rows are grouped by value."""
    many = f"SELECT hash({columns}) AS seen FROM {rows} GROUP BY seen HAVING count(*) > 1"
    candidates = f"SELECT row, {columns} FROM {rows} WHERE hash({columns}) IN ({many})"
    place = f"row_number() OVER (PARTITION BY {columns} ORDER BY row)"
    return f"SELECT row FROM (SELECT row, {place} AS place FROM ({candidates})) WHERE place > 1"


def unknown(table: str, column: str, known: str) -> str:
    """Rows whose id is not among the accepted ones."""
    return f"SELECT row FROM {table}_rows ANTI JOIN known_{known} ON {column} = id WHERE {filled(column)}"


def strange_lists() -> str:
    """Lists that show an item which the catalogue lacks."""
    lines = "SELECT row, unnest(shown).item_id AS shown_id FROM impressions_rows"
    return f"SELECT DISTINCT row FROM ({lines}) ANTI JOIN known_items ON shown_id = id WHERE {filled('shown_id')}"


def answers(condition: str) -> str:
    """Events whose list is known and does not meet the condition on `event` and `list`."""
    return (
        "SELECT event.row FROM interactions_left AS event JOIN lists AS list USING (impression_id) "
        f"WHERE NOT coalesce({condition}, true)"
    )


def machines(limit: str) -> str:
    """Events of users who had more than `limit` events within a clock hour."""
    users = (
        f"SELECT user_id FROM interactions_left GROUP BY user_id, date_trunc('hour', timestamp) "
        f"HAVING count(*) > {limit}"
    )
    return f"SELECT row FROM interactions_left WHERE user_id IN ({users})"


def foreign_scripts(allowed: str) -> str:
    """Items written in a script that a list parameter lacks; an empty list allows all."""
    foreign = f"script <> '' AND NOT list_contains({allowed}, script)"
    return f"SELECT row FROM items_script WHERE len({allowed}) > 0 AND {foreign}"
