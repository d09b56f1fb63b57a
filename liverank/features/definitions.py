"""Features of the event stream: functions from frames to frames that know of an event only once it has arrived.

An event at time t sees what was *known* strictly before t: an event is known from its arrival on, and never before it
happened. Events of one user at one instant (a basket, a slate) do not see each other, and a late event is seen by
nothing that came before it arrived. Times are whole microseconds, so that arithmetic is exact and knows no zone.

The functions use the part of the PySpark API that Spark and SQLFrame share; `F` and `Window` are the open engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from liverank import columns as c
from liverank.features.engine import F, Frame, Window

MICROS = "micros"
"""Working column: the timestamp as microseconds since 1970-01-01 UTC."""
KNOWN = "known"
"""Working column: microseconds from which the event is known."""
DAY = "day"
"""Whole UTC days since 1970-01-01."""
TRAIN_EVENTS = "train_events"
"""Column of `items.parquet`: the item's events in the training time."""
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
    """The columns that features need, with `micros` and `known`."""
    names = (c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TYPE, c.TIMESTAMP, c.VALUE, c.IMPRESSION_ID, c.SESSION_ID)
    arrived = F.coalesce(F.col(c.RECEIVED_AT), F.col(c.TIMESTAMP))
    # A clock that is wrong may say that an event arrived before it happened.
    known = F.greatest(F.unix_micros(arrived), F.unix_micros(F.col(c.TIMESTAMP)))
    return interactions.select(*names, F.unix_micros(F.col(c.TIMESTAMP)).alias(MICROS), known.alias(KNOWN))


def with_micros(frame: Frame) -> Frame:
    """Adds `micros` from the timestamp."""
    return frame.withColumn(MICROS, F.unix_micros(F.col(c.TIMESTAMP)))


def repeated_ids(frame: Frame, column: str) -> Frame:
    """Ids that more than one row has."""
    return frame.groupBy(column).agg(F.count("*").alias("copies")).where(F.col("copies") > 1).select(column)


def first_of_id(frame: Frame, column: str, *order: str) -> Frame:
    """One row an id: the first in this order."""
    first = Window.partitionBy(column).orderBy(*order)
    return frame.withColumn("copy", F.row_number().over(first)).where(F.col("copy") == 1).drop("copy")


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


def context(events: Frame) -> Frame:
    """Adds the UTC `hour` (0-23) and `weekday` (0 is Monday)."""
    hour = (remainder(F.col(MICROS), DAY_MICROS) - remainder(F.col(MICROS), 3600 * SECOND)) / F.lit(3600 * SECOND)
    # Day 0, 1970-01-01, was a Thursday.
    weekday = remainder(day_of(MICROS) + F.lit(3), 7)
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
    named = F.when(at < cuts.train_until, F.lit(c.TRAIN)).otherwise(_later(cuts))
    return frame.withColumn(c.SPLIT, named)


def split_events(events: Frame, cuts: Cuts) -> Frame:
    """Adds `split` to events; those of the training time that had not arrived when it ended belong to none."""
    named = F.when(F.col(KNOWN) < cuts.train_until, F.lit(c.TRAIN)).otherwise(_later(cuts))
    return events.withColumn(c.SPLIT, named)


def _later(cuts: Cuts) -> Any:
    at = F.col(MICROS)
    validation = (at >= cuts.validation_from) & (at < cuts.validation_until)
    named = F.when(validation, F.lit(c.VALIDATION)).when(at >= cuts.test_from, F.lit(c.TEST))
    return named.otherwise(F.lit(c.GAP))


def remainder(value: Any, divisor: int) -> Any:
    """What is left above the next lower multiple; never negative, also before 1970."""
    return (value % F.lit(divisor) + F.lit(divisor)) % F.lit(divisor)


def day_of(column: str, of: Callable[[Any], Any] = lambda at: at) -> Any:
    """The UTC day of a column of microseconds, or of what `of` makes of the column."""
    at = of(F.col(column))
    # The division is exact: what is divided is a multiple.
    return ((at - remainder(at, DAY_MICROS)) / F.lit(DAY_MICROS)).cast("int")
