"""What each event could know of its user's and item's past, as running sums over the stream of one user.

The stream has a row where an event asks (when it happened) and a row where it becomes known (when it arrived); an event
that was not late has one row for both. What came before a day can stand in the stream as one row a user and one a pair
of user and item: all that is asked are sums, maxima and the latest row, so a day's features need no older rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from liverank import columns as c
from liverank.features.definitions import KNOWN, MICROS, SECOND
from liverank.features.engine import F, Frame, Window, staged, union

FRESH = "fresh"
"""Working column: the row of an event whose features are wanted."""
AT = "at"
_LATE, _MARKS, _LAST, _STARTS, _NAMED = "late", "marks", "last", "starts", "named"
_PAIR_MARKS, _PAIR_LAST = "pair_marks", "pair_last"
PAYLOAD = (
    c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TYPE, c.TIMESTAMP, c.VALUE, c.IMPRESSION_ID, c.SESSION_ID, MICROS, KNOWN, FRESH,
)  # fmt: skip
_LONG = "long"


def marks_of(name: str) -> str:
    """Working column: how many known events of this type a row stands for."""
    return f"marks {name}"


def of_events(events: Frame, types: Sequence[str]) -> Frame:
    """The stream's rows of single events: `PAYLOAD` in, one row an event that came in time, two for a late one."""
    on_time = events.where(F.col(KNOWN) == F.col(MICROS))
    late = events.where(F.col(KNOWN) > F.col(MICROS))
    asks = _rows(late, types, at=MICROS, late=1, marks=0)
    arrivals = _rows(late, types, at=KNOWN, late=1, marks=1).withColumn(FRESH, F.lit(False))
    return union(_rows(on_time, types, at=MICROS, late=0, marks=1), asks, arrivals)


def _rows(events: Frame, types: Sequence[str], at: str, late: int, marks: int) -> Frame:
    one = F.lit(marks).cast(_LONG)
    last = F.col(MICROS) if marks else F.lit(None).cast(_LONG)
    kinds = [F.when(F.col(c.TYPE) == name, one).otherwise(F.lit(0)).cast(_LONG).alias(marks_of(name)) for name in types]
    return events.select(
        *PAYLOAD,
        F.col(at).alias(AT),
        F.lit(late).alias(_LATE),
        one.alias(_MARKS),
        last.alias(_LAST),
        F.lit(None).cast(_LONG).alias(_STARTS),
        (F.col(c.SESSION_ID) if marks else F.lit(None).cast("string")).alias(_NAMED),
        one.alias(_PAIR_MARKS),
        last.alias(_PAIR_LAST),
        *kinds,
    )


def of_users(log: Frame, types: Sequence[str], before: int) -> Frame:
    """One row a user that stands for all of its events in `log`, all of them known before the instant `before`."""
    kinds = [F.sum(F.when(F.col(c.TYPE) == name, 1).otherwise(0)).cast(_LONG).alias(marks_of(name)) for name in types]
    latest = F.max(F.struct(F.col(KNOWN), (F.col(KNOWN) > F.col(MICROS)).cast("int"), c.EVENT_ID, c.SESSION_ID))
    state = log.groupBy(c.USER_ID).agg(
        F.count("*").cast(_LONG).alias(_MARKS),
        F.max(MICROS).cast(_LONG).alias(_LAST),
        (F.max(c.SESSION) + 1).cast(_LONG).alias(_STARTS),
        latest.alias("latest"),
        *kinds,
    )
    state = state.withColumn(_NAMED, F.col("latest").getField(c.SESSION_ID)).drop("latest")
    return _standing(state, types, before)


def of_pairs(log: Frame, types: Sequence[str], before: int) -> Frame:
    """One row a user and item that stands for their events in `log`, unseen by what is asked of the user alone."""
    state = log.groupBy(c.USER_ID, c.ITEM_ID).agg(
        F.count("*").cast(_LONG).alias(_PAIR_MARKS), F.max(MICROS).cast(_LONG).alias(_PAIR_LAST)
    )
    return _standing(state, types, before - 1)


def _standing(state: Frame, types: Sequence[str], before: int) -> Frame:
    empty = {
        **dict.fromkeys((c.EVENT_ID, c.TYPE, c.IMPRESSION_ID, c.SESSION_ID, _NAMED), ("string", None)),
        **dict.fromkeys((MICROS, KNOWN, _LAST, _STARTS, _PAIR_LAST), (_LONG, None)),
        **dict.fromkeys((_MARKS, _PAIR_MARKS, *map(marks_of, types)), (_LONG, 0)),
        c.ITEM_ID: ("string", ""), c.TIMESTAMP: ("timestamp", None), c.VALUE: ("double", None),
        FRESH: ("boolean", False), AT: (_LONG, before - 1), _LATE: ("int", 0),
    }  # fmt: skip
    missing = {name: F.lit(value).cast(kind) for name, (kind, value) in empty.items() if name not in state.columns}
    return state.withColumns(missing)


def with_past(stream: Frame, types: Sequence[str], gap_minutes: float) -> Frame:
    """What each row knew of its user: seen, its counts by type, gap_seconds, session, session_start.

    A session ends after more than `gap_minutes` without an event, or where the source names another session. A late
    event opens none: it carries the number of the one that was going on.
    """
    by_time = Window.partitionBy(c.USER_ID).orderBy(AT)
    before = by_time.rangeBetween(Window.unboundedPreceding, -1)
    previous = Window.partitionBy(c.USER_ID).orderBy(AT, _LATE, c.EVENT_ID)
    told = stream.withColumns(
        {
            c.SEEN: _total(_MARKS, before),
            **{c.seen(name): _total(marks_of(name), before) for name in types},
            "latest": F.max(_LAST).over(before),
            "previous_name": F.lag(_NAMED).over(previous),
            "previous_at": F.lag(AT).over(previous),
        }
    )
    told = staged(staged(told).withColumn("opens", _opens(gap_minutes).cast(_LONG)))
    until_now = by_time.rangeBetween(Window.unboundedPreceding, 0)
    numbered = told.withColumns({"opened": F.sum("opens").over(until_now), "opened_before": _total("opens", before)})
    return staged(numbered).withColumns(
        {
            c.GAP_SECONDS: _seconds_since("latest"),
            c.SESSION: F.greatest(F.col("opened") - 1, F.lit(0)).cast(_LONG),
            c.SESSION_START: (F.col("opened") > F.col("opened_before")) & (F.col(_LATE) == 0),
        }
    )


def _opens(gap_minutes: float) -> Any:
    """How many sessions a row opens: 1 or 0 for the first event of an instant, all of them for a standing row."""
    first = (F.col(_LATE) == 0) & F.coalesce(F.col("previous_at") < F.col(AT), F.lit(True))
    late = F.coalesce(F.col(AT) - F.col("latest") > int(gap_minutes * 60 * SECOND), F.lit(True))
    renamed = F.coalesce(F.col(_NAMED) != F.col("previous_name"), F.lit(False))
    single = F.when(first & (late | renamed), F.lit(1)).otherwise(F.lit(0))
    return F.when(F.col(c.EVENT_ID).isNull(), F.coalesce(F.col(_STARTS), F.lit(0))).otherwise(single)


def with_item_past(stream: Frame) -> Frame:
    """What each row knew of its user and item: repeats and since_item_seconds."""
    before = Window.partitionBy(c.USER_ID, c.ITEM_ID).orderBy(AT).rangeBetween(Window.unboundedPreceding, -1)
    told = stream.withColumns({c.REPEATS: _total(_PAIR_MARKS, before), "met": F.max(_PAIR_LAST).over(before)})
    return staged(told).withColumn(c.SINCE_ITEM_SECONDS, _seconds_since("met"))


def _total(column: str, window: Any) -> Any:
    return F.coalesce(F.sum(column).over(window), F.lit(0)).cast(_LONG)


def _seconds_since(column: str) -> Any:
    return (F.col(MICROS) - F.col(column)).cast("double") / F.lit(float(SECOND))
