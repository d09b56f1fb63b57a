"""What each event could know of its user's and item's past, as running sums over the instants of one user.

A user's instants are those at which an event asks (when it happened) or becomes known (when it arrived). What came
before a day can stand among them as one instant a user and one a pair of user and item: all that is asked are sums,
maxima and the latest name, so a day's features need no older events. An instant has few, narrow columns; what else an
event says is joined to it at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liverank import columns as c
from liverank.features.definitions import KNOWN, MICROS, SECOND
from liverank.features.engine import Engine, F, Frame, Window, staged, union

AT = "at"
LATEST, OPENS, MET = "latest", "opens", "met"
_NAME, _MARKS, _LAST, _STARTS, _FIRST, _FINAL = "name", "marks", "last", "starts", "first", "final"
_LONG = "long"


def marks_of(name: str) -> str:
    """Working column: how many known events of this type an instant stands for."""
    return f"marks {name}"


def of_events(engine: Engine, events: Frame, types: Sequence[str]) -> Frame:
    """The instants of users: user_id, at, and what became known then; a late event also asks before it is known."""
    rows, kinds = _rows(events, types)
    instants = rows.groupBy(c.USER_ID, AT).agg(
        *[F.sum(name).cast("int").alias(name) for name in (_MARKS, *kinds)],
        F.max(_LAST).alias(_LAST),
        F.min(_NAME).alias(_FIRST),
        F.max(_NAME).alias(_FINAL),
        F.lit(None).cast(_LONG).alias(_STARTS),
    )
    instants = engine.kept(instants, "instants")
    several = F.col(_FIRST) != F.col(_FINAL)
    mixed = engine.kept(instants.where(several).select(c.USER_ID, AT), "mixed instants")
    return _in_order(instants, rows, mixed) if mixed.limit(1).count() else instants


def _rows(events: Frame, types: Sequence[str]) -> tuple[Frame, list[str]]:
    late = F.col(KNOWN) > F.col(MICROS)
    kinds = {marks_of(name): F.when(F.col(c.TYPE) == name, 1).otherwise(0) for name in types}
    told = {_NAME: F.when(~late, _name()), _MARKS: F.lit(1), _LAST: F.col(MICROS), **kinds}
    asks = {**dict.fromkeys(told, F.lit(0)), _NAME: F.lit(None).cast("string"), _LAST: F.lit(None).cast(_LONG)}
    known = events.select(c.USER_ID, c.EVENT_ID, F.col(KNOWN).alias(AT), *_named(told))
    asked = events.where(late).select(c.USER_ID, c.EVENT_ID, F.col(MICROS).alias(AT), *_named(asks))
    return staged(union(known, asked)), list(kinds)


def _name() -> Any:
    """The session that the source names; empty where it names none, so that null is left for what is not on time."""
    return F.coalesce(F.col(c.SESSION_ID), F.lit(""))


def _named(columns: Mapping[str, Any]) -> list[Any]:
    return [column.alias(name) for name, column in columns.items()]


def _in_order(instants: Frame, rows: Frame, mixed: Frame) -> Frame:
    """The instants with the first and the final name of those that have several; few have, and sorting takes long."""
    ordered = F.struct(c.EVENT_ID, _NAME)
    on_time = rows.where(F.col(_NAME).isNotNull())
    told = staged(on_time.join(mixed, [c.USER_ID, AT], "leftsemi"))
    told = told.groupBy(c.USER_ID, AT).agg(
        F.min(ordered).getField(_NAME).alias("one"), F.max(ordered).getField(_NAME).alias("other")
    )
    both = staged(instants.join(staged(told), [c.USER_ID, AT], "left"))
    picked = {_FIRST: F.coalesce("one", _FIRST), _FINAL: F.coalesce("other", _FINAL)}
    return staged(both.withColumns(picked)).select(*instants.columns)


def of_users(log: Frame, types: Sequence[str], before: int) -> Frame:
    """One instant a user that stands for all of its events in `log`, all of them known before the instant `before`."""
    kinds = [F.sum(F.when(F.col(c.TYPE) == name, 1).otherwise(0)).cast("int").alias(marks_of(name)) for name in types]
    on_time = F.when(F.col(KNOWN) == F.col(MICROS), F.struct(F.col(KNOWN), c.EVENT_ID, _name().alias(_NAME)))
    opened = F.max(F.when(F.col(c.SESSION_START), F.col(c.SESSION) + 1).otherwise(0))
    return log.groupBy(c.USER_ID).agg(
        F.lit(before - 1).cast(_LONG).alias(AT),
        F.count("*").cast("int").alias(_MARKS),
        *kinds,
        F.max(MICROS).cast(_LONG).alias(_LAST),
        F.lit(None).cast("string").alias(_FIRST),
        F.max(on_time).getField(_NAME).alias(_FINAL),
        opened.cast(_LONG).alias(_STARTS),
    )


def past_of_users(instants: Frame, types: Sequence[str], gap_minutes: float) -> Frame:
    """What was known of the user at each instant: user_id, micros, latest, seen (also by type), session, opens.

    A session ends after more than `gap_minutes` without an event, or where the source names another session than the
    last event on time did. A late event opens none: it carries the number of the one that was going on.
    """
    by_time = Window.partitionBy(c.USER_ID).orderBy(AT)
    before = by_time.rowsBetween(Window.unboundedPreceding, -1)
    names = {c.SEEN: _MARKS, **{c.seen(name): marks_of(name) for name in types}}
    told = instants.select(
        c.USER_ID, AT, _FIRST, _STARTS,
        *[F.sum(marks).over(before).cast("int").alias(name) for name, marks in names.items()],
        F.max(_LAST).over(before).alias(LATEST),
        F.last_value(_FINAL, True).over(before).alias("previous"),
    )  # fmt: skip
    kept = [F.coalesce(F.col(name), F.lit(0)).alias(name) for name in names]
    told = staged(told).select(c.USER_ID, AT, LATEST, *kept, _opens(gap_minutes).alias(OPENS))
    opened = F.sum(OPENS).over(by_time.rowsBetween(Window.unboundedPreceding, 0))
    numbered = staged(told).withColumn(c.SESSION, F.greatest(opened - 1, F.lit(0)).cast(_LONG))
    return numbered.select(c.USER_ID, F.col(AT).alias(MICROS), LATEST, *names, c.SESSION, OPENS)


def _opens(gap_minutes: float) -> Any:
    """How many sessions an instant opens: 1 or 0, or all of them where it stands for the past."""
    late = F.coalesce(F.col(AT) - F.col(LATEST) > int(gap_minutes * 60 * SECOND), F.lit(True))
    renamed = (F.col(_FIRST) != F.col("previous")) & (F.col(_FIRST) != "") & (F.col("previous") != "")
    on_time = F.col(_FIRST).isNotNull()
    single = F.when(on_time & (late | F.coalesce(renamed, F.lit(False))), F.lit(1)).otherwise(F.lit(0))
    return F.coalesce(F.col(_STARTS), single.cast(_LONG))


def of_item_events(events: Frame) -> Frame:
    """The instants of users with an item: user_id, item_id, at, and what became known then."""
    late = events.where(F.col(KNOWN) > F.col(MICROS))
    told = events.select(
        c.USER_ID, c.ITEM_ID, F.col(KNOWN).alias(AT), F.lit(1).alias(_MARKS), F.col(MICROS).alias(_LAST)
    )
    nothing = F.lit(None).cast(_LONG)
    asks = late.select(c.USER_ID, c.ITEM_ID, F.col(MICROS).alias(AT), F.lit(0).alias(_MARKS), nothing.alias(_LAST))
    rows = staged(union(told, asks))
    sums = F.sum(_MARKS).cast("int").alias(_MARKS), F.max(_LAST).cast(_LONG).alias(_LAST)
    return rows.groupBy(c.USER_ID, c.ITEM_ID, AT).agg(*sums)


def of_pairs(log: Frame, before: int) -> Frame:
    """One instant a user and item that stands for their events in `log`, all of them known before `before`."""
    return log.groupBy(c.USER_ID, c.ITEM_ID).agg(
        F.lit(before - 1).cast(_LONG).alias(AT),
        F.count("*").cast("int").alias(_MARKS),
        F.max(MICROS).cast(_LONG).alias(_LAST),
    )


def past_of_pairs(instants: Frame) -> Frame:
    """Where a user had met the item before: user_id, item_id, micros, repeats, met (the latest time)."""
    by_time = Window.partitionBy(c.USER_ID, c.ITEM_ID).orderBy(AT)
    before = by_time.rowsBetween(Window.unboundedPreceding, -1)
    told = instants.select(
        c.USER_ID,
        c.ITEM_ID,
        F.col(AT).alias(MICROS),
        F.sum(_MARKS).over(before).cast("int").alias(c.REPEATS),
        F.max(_LAST).over(before).alias(MET),
    )
    return staged(told).where(F.col(c.REPEATS) > 0)


def with_past(events: Frame, users: Frame, pairs: Frame, types: Sequence[str]) -> Frame:
    """Joins `past_of_users` and `past_of_pairs` to the events that ask."""
    told = events.join(users, [c.USER_ID, MICROS]).join(pairs, [c.USER_ID, c.ITEM_ID, MICROS], "left")
    counts = {name: F.col(name).cast(_LONG) for name in (c.SEEN, *map(c.seen, types))}
    return staged(told).withColumns(
        {
            **counts,
            c.GAP_SECONDS: _seconds_since(LATEST),
            c.SESSION_START: (F.col(OPENS) > 0) & (F.col(KNOWN) == F.col(MICROS)),
            c.REPEATS: F.coalesce(F.col(c.REPEATS), F.lit(0)).cast(_LONG),
            c.SINCE_ITEM_SECONDS: _seconds_since(MET),
        }
    )


def _seconds_since(column: str) -> Any:
    return (F.col(MICROS) - F.col(column)).cast("double") / F.lit(float(SECOND))
