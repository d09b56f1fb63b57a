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
_LATE, _MARKS, _LAST, _STARTS, _ON_TIME, _FIRST, _FINAL = "late", "marks", "last", "starts", "on_time", "first", "final"
_LONG = "long"


def marks_of(name: str) -> str:
    """Working column: how many known events of this type an instant stands for."""
    return f"marks {name}"


def of_events(engine: Engine, events: Frame, types: Sequence[str]) -> Frame:
    """The instants of users: user_id, at, and what became known then; a late event also asks before it is known."""
    rows, kinds = _rows(events, types)
    named, any_of_them = F.count(c.SESSION_ID).alias("named"), F.count("*").alias("rows")
    instants = rows.groupBy(c.USER_ID, AT).agg(
        *[F.sum(name).cast("int").alias(name) for name in (_MARKS, *kinds)],
        F.max(_LAST).alias(_LAST),
        F.min(_LATE).alias(_ON_TIME),
        F.min(c.SESSION_ID).alias(_FIRST),
        F.max(c.SESSION_ID).alias(_FINAL),
        F.lit(None).cast(_LONG).alias(_STARTS),
        named,
        any_of_them,
    )
    instants = engine.kept(instants, "instants")
    several = (F.col(_FIRST) != F.col(_FINAL)) | ((F.col("named") > 0) & (F.col("named") < F.col("rows")))
    mixed = engine.kept(instants.where(several).select(c.USER_ID, AT), "mixed instants")
    instants = instants.drop("named", "rows")
    return _in_order(instants, rows, mixed) if mixed.limit(1).count() else instants


def _rows(events: Frame, types: Sequence[str]) -> tuple[Frame, list[str]]:
    late = F.col(KNOWN) > F.col(MICROS)
    kinds = {marks_of(name): F.when(F.col(c.TYPE) == name, 1).otherwise(0) for name in types}
    told = {_LATE: late.cast("int"), _MARKS: F.lit(1), _LAST: F.col(MICROS), c.SESSION_ID: F.col(c.SESSION_ID), **kinds}
    asks = {_LATE: F.lit(1), _LAST: F.lit(None).cast(_LONG), c.SESSION_ID: F.lit(None).cast("string")}
    known = events.select(c.USER_ID, c.EVENT_ID, F.col(KNOWN).alias(AT), *_named(told))
    asks = {**dict.fromkeys(told, F.lit(0)), **asks}
    asked = events.where(late).select(c.USER_ID, c.EVENT_ID, F.col(MICROS).alias(AT), *_named(asks))
    return staged(union(known, asked)), list(kinds)


def _named(columns: Mapping[str, Any]) -> list[Any]:
    return [column.alias(name) for name, column in columns.items()]


def _in_order(instants: Frame, rows: Frame, mixed: Frame) -> Frame:
    """The instants with the first and the final name of those that have several; few have, and sorting takes long."""
    ordered = F.struct(_LATE, c.EVENT_ID, c.SESSION_ID)
    told = staged(rows.join(mixed, [c.USER_ID, AT], "leftsemi"))
    told = told.groupBy(c.USER_ID, AT).agg(
        F.lit(True).alias("mixed"),
        F.min(ordered).getField(c.SESSION_ID).alias("one"),
        F.max(ordered).getField(c.SESSION_ID).alias("other"),
    )
    both = staged(instants.join(staged(told), [c.USER_ID, AT], "left"))
    chosen = {_FIRST: "one", _FINAL: "other"}
    picked = {name: F.when(F.col("mixed"), F.col(new)).otherwise(F.col(name)) for name, new in chosen.items()}
    return staged(both.withColumns(picked)).select(*instants.columns)


def of_users(log: Frame, types: Sequence[str], before: int) -> Frame:
    """One instant a user that stands for all of its events in `log`, all of them known before the instant `before`."""
    kinds = [F.sum(F.when(F.col(c.TYPE) == name, 1).otherwise(0)).cast("int").alias(marks_of(name)) for name in types]
    latest = F.max(F.struct(F.col(KNOWN), (F.col(KNOWN) > F.col(MICROS)).cast("int"), c.EVENT_ID, c.SESSION_ID))
    return log.groupBy(c.USER_ID).agg(
        F.lit(before - 1).cast(_LONG).alias(AT),
        F.count("*").cast("int").alias(_MARKS),
        *kinds,
        F.max(MICROS).cast(_LONG).alias(_LAST),
        F.lit(0).alias(_ON_TIME),
        F.lit(None).cast("string").alias(_FIRST),
        latest.getField(c.SESSION_ID).alias(_FINAL),
        (F.max(c.SESSION) + 1).cast(_LONG).alias(_STARTS),
    )


def past_of_users(instants: Frame, types: Sequence[str], gap_minutes: float) -> Frame:
    """What was known of the user at each instant: user_id, micros, latest, seen (also by type), session, opens.

    A session ends after more than `gap_minutes` without an event, or where the source names another session. A late
    event opens none: it carries the number of the one that was going on.
    """
    by_time = Window.partitionBy(c.USER_ID).orderBy(AT)
    before = by_time.rowsBetween(Window.unboundedPreceding, -1)
    names = {c.SEEN: _MARKS, **{c.seen(name): marks_of(name) for name in types}}
    told = instants.select(
        c.USER_ID, AT, _FIRST, _STARTS, _ON_TIME,
        *[F.sum(marks).over(before).cast("int").alias(name) for name, marks in names.items()],
        F.max(_LAST).over(before).alias(LATEST),
        F.lag(_FINAL).over(by_time).alias("previous"),
    )  # fmt: skip
    kept = [F.coalesce(F.col(name), F.lit(0)).alias(name) for name in names]
    told = staged(told).select(c.USER_ID, AT, LATEST, *kept, _opens(gap_minutes).alias(OPENS))
    opened = F.sum(OPENS).over(by_time.rowsBetween(Window.unboundedPreceding, 0))
    numbered = staged(told).withColumn(c.SESSION, F.greatest(opened - 1, F.lit(0)).cast(_LONG))
    return numbered.select(c.USER_ID, F.col(AT).alias(MICROS), LATEST, *names, c.SESSION, OPENS)


def _opens(gap_minutes: float) -> Any:
    """How many sessions an instant opens: 1 or 0, or all of them where it stands for the past."""
    late = F.coalesce(F.col(AT) - F.col(LATEST) > int(gap_minutes * 60 * SECOND), F.lit(True))
    renamed = F.coalesce(F.col(_FIRST) != F.col("previous"), F.lit(False))
    single = F.when((F.col(_ON_TIME) == 0) & (late | renamed), F.lit(1)).otherwise(F.lit(0))
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
