"""Features of the event stream: functions from frames to frames, none of which looks at or after its own event's time.

Events of one user at one instant (a basket, a slate) do not see each other: every backward look goes to strictly
earlier timestamps. Working columns stay in the frames; the caller selects what it wants. The functions use the part of
the PySpark API that Spark and SQLFrame share; on Spark only the import of `Window` and `functions` changes. Times are
whole microseconds, so that arithmetic is exact and knows no zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlframe.duckdb import Window
from sqlframe.duckdb import functions as F

from liverank import columns as c
from liverank.features.engine import Frame

MICROS = "micros"
"""Working column: the timestamp as microseconds since 1970-01-01 UTC."""
ITEM_INDEX = "item_index"
"""Working column: row number of the item in the catalogue sorted by id."""
ORDINAL = "ordinal"
"""Working column: place of the event among its user's, from 1, by time and then event id."""
TRAIN_EVENTS = "train_events"
"""Column of `items.parquet`: the item's events in the training time."""
DAY = "day"
"""Working column: whole UTC days since 1970-01-01."""
DAY_MICROS = 86_400_000_000
SECOND = 1_000_000


@dataclass(frozen=True)
class Cuts:
    """The instants between the splits, microseconds since 1970; each range includes its start and not its end.

    train: before `train_until`; validation: `validation_from` to `validation_until`; test: from `test_from` on. What
    lies between belongs to none.
    """

    train_until: int
    validation_from: int
    validation_until: int
    test_from: int


def prepared(interactions: Frame) -> Frame:
    """One row an event id (its earliest), with `micros`."""
    first = Window.partitionBy(c.EVENT_ID).orderBy(c.TIMESTAMP, c.USER_ID, c.ITEM_ID, c.TYPE)
    ranked = interactions.withColumn("occurrence", F.row_number().over(first))
    return with_micros(ranked.where(F.col("occurrence") == 1).drop("occurrence"))


def with_micros(frame: Frame) -> Frame:
    """Adds `micros` from the timestamp."""
    return frame.withColumn(MICROS, F.unix_micros(c.TIMESTAMP))


def catalogue(items: Frame, events: Frame) -> Frame:
    """The items, one row an id, sorted by id; an item that only events know gets a row without text."""
    once = Window.partitionBy(c.ITEM_ID).orderBy(F.col(c.TITLE), F.col(c.TEXT), F.col(c.CATEGORY))
    known = items.withColumn("copy", F.row_number().over(once)).where(F.col("copy") == 1).drop("copy")
    named = events.select(F.col(c.ITEM_ID).alias("seen")).distinct()
    merged = known.join(named, on=F.col("seen") == F.col(c.ITEM_ID), how="full")
    rest = [F.coalesce(F.col(name), F.lit("")).alias(name) for name in (c.TITLE, c.TEXT, c.CATEGORY)]
    identity = F.coalesce(F.col(c.ITEM_ID), F.col("seen")).alias(c.ITEM_ID)
    return merged.select(identity, *rest, c.ATTRIBUTES, c.AVAILABLE_FROM).orderBy(c.ITEM_ID)


def train_counts(items: Frame, events: Frame) -> Frame:
    """Adds `train_events`, the item's events in the training time; keeps the order by id."""
    training = events.where(F.col(c.SPLIT) == F.lit(c.TRAIN))
    counts = training.groupBy(F.col(c.ITEM_ID).alias("seen")).agg(F.count("*").alias("events"))
    counted = items.join(counts, on=F.col("seen") == F.col(c.ITEM_ID), how="left")
    total = F.coalesce(F.col("events"), F.lit(0)).cast("long").alias(TRAIN_EVENTS)
    return counted.select(*items.columns, total).orderBy(c.ITEM_ID)


def indexed(events: Frame, items: Frame) -> Frame:
    """Adds `item_index`, the item's row in the sorted catalogue."""
    index = (F.row_number().over(Window.orderBy(c.ITEM_ID)) - 1).cast("int").alias(ITEM_INDEX)
    return events.join(items.select(c.ITEM_ID, index), on=c.ITEM_ID, how="left")


def ordered(events: Frame) -> Frame:
    """Adds `ordinal`."""
    return events.withColumn(ORDINAL, F.row_number().over(_by_user()))


def sessions(events: Frame, gap_minutes: float) -> Frame:
    """Adds `session`, `session_start` and `gap_seconds` (to the user's latest strictly earlier event, null without).

    A session ends after more than `gap_minutes` without an event, or where the source names another session.
    """
    user, slate = _by_user(), _slate()
    gap = F.col(MICROS) - F.lag(MICROS).over(user)
    renamed = F.coalesce(F.col(c.SESSION_ID) != F.lag(c.SESSION_ID).over(user), F.lit(False))
    # Only the first event of a slate can start a session: inside a slate the gap is 0.
    late = (F.col("gap") > int(gap_minutes * 60 * SECOND)) | (F.col("renamed") & (F.col("gap") > 0))
    starts = events.withColumns({"gap": gap, "renamed": renamed}).withColumn("starts", F.col("gap").isNull() | late)
    count = F.sum(F.col("starts").cast("int")).over(user.rowsBetween(Window.unboundedPreceding, 0))
    told = {
        c.SESSION: (count - 1).cast("long"),
        c.SESSION_START: F.first("starts").over(slate),
        c.GAP_SECONDS: F.first("gap").over(slate).cast("double") / F.lit(float(SECOND)),
    }
    return starts.withColumns(told)


def history(events: Frame, length: int) -> Frame:
    """Adds `history`: the item indices of the user's last `length` strictly earlier events, oldest first.

    What precedes the first event of a slate is what precedes the whole slate, so all its events share that list.
    """
    before = F.collect_list(ITEM_INDEX).over(_by_user().rowsBetween(-length, -1))
    shared = F.first("before").over(_slate())
    # The aggregate of no rows is null on DuckDB and an empty list on Spark.
    listed = F.coalesce(shared, F.expr("cast(array() as array<int>)"))
    return events.withColumn("before", before).withColumn(c.HISTORY, listed)


def repeats(events: Frame) -> Frame:
    """Adds `repeats`: the user's strictly earlier events with the same item."""
    same = Window.partitionBy(c.USER_ID, c.ITEM_ID).orderBy(MICROS)
    return events.withColumn(c.REPEATS, (F.rank().over(same) - 1).cast("long"))


def daily_popularity(events: Frame, days: Sequence[int]) -> Frame:
    """For each item and UTC day with events: the item's events on each of `days` whole days before that day.

    Counted on one row an item and day: a window over single events is far slower on a hot item.
    """
    counts = events.groupBy(c.ITEM_ID, _day().alias(DAY)).agg(F.count("*").alias("events"))
    by_day = Window.partitionBy(c.ITEM_ID).orderBy(DAY)
    sums = {c.popularity(width): F.sum("events").over(by_day.rangeBetween(-width, -1)) for width in days}
    totals = [F.coalesce(total, F.lit(0)).cast("long").alias(name) for name, total in sums.items()]
    return counts.select(c.ITEM_ID, DAY, *totals)


def popularity(events: Frame, daily: Frame) -> Frame:
    """Adds what `daily_popularity` says of the event's item and day."""
    return events.withColumn(DAY, _day()).join(daily, on=[c.ITEM_ID, DAY], how="left")


def context(events: Frame) -> Frame:
    """Adds the UTC `hour` (0-23) and `weekday` (0 is Monday)."""
    day = _day()
    hour = F.floor((F.col(MICROS) - day.cast("long") * F.lit(DAY_MICROS)) / F.lit(3600 * SECOND))
    # Day 0, 1970-01-01, was a Thursday; days before it are negative.
    weekday = ((day + F.lit(3)) % F.lit(7) + F.lit(7)) % F.lit(7)
    return events.withColumns({c.HOUR: hour.cast("tinyint"), c.WEEKDAY: weekday.cast("tinyint")})


def weights(events: Frame, of_type: Mapping[str, float]) -> Frame:
    """Adds the configured `weight` of the event's type; 0 for a type that has none."""
    weight = F.lit(0.0)
    for name, value in of_type.items():
        weight = F.when(F.col(c.TYPE) == name, F.lit(float(value))).otherwise(weight)
    return events.withColumn(c.WEIGHT, weight.cast("double"))


def split(frame: Frame, cuts: Cuts) -> Frame:
    """Adds `split`: train, validation, test or gap, by time alone."""
    at = F.col(MICROS)
    validation = (at >= cuts.validation_from) & (at < cuts.validation_until)
    named = (
        F.when(at < cuts.train_until, F.lit(c.TRAIN))
        .when(validation, F.lit(c.VALIDATION))
        .when(at >= cuts.test_from, F.lit(c.TEST))
        .otherwise(F.lit(c.GAP))
    )
    return frame.withColumn(c.SPLIT, named)


def _day() -> Any:
    return F.floor(F.col(MICROS) / F.lit(DAY_MICROS)).cast("int")


def _by_user() -> Window:
    return Window.partitionBy(c.USER_ID).orderBy(MICROS, c.EVENT_ID)


def _slate() -> Window:
    return Window.partitionBy(c.USER_ID, MICROS).orderBy(c.EVENT_ID)
