"""Features of candidates offline: frames over the log, one row a request and candidate.

Every look back ends strictly before the request. What each column means is told in `candidate_features`; `online`
computes the same from a request. Whole numbers are added first and divided once, so that both give equal values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from liverank import columns as c
from liverank.features import popularity
from liverank.features.candidate_features import SIMILARITIES, TOGETHER
from liverank.features.definitions import DAY, DAY_MICROS, MICROS, SECOND, day_of, remainder
from liverank.features.engine import F, Frame, Window, staged
from liverank.features.requests import ROW
from liverank.features.similarity import NEIGHBOUR
from liverank.features.snapshot import PER_UNIT, STEP_UNIT, Settings

BORN = "born"
BAND = "price_band"
CATEGORY_NUMBER = "category_number"
_PI = 3.141592653589793
_COUNTED_AS = "counted_as"
"""Working column: the item whose counts a candidate has; an id that no item has where the catalogue lacks it."""


def steps(history: Frame) -> Frame:
    """The history with `back`: 0 for events of the latest instant, 1 for those of the one before, ..."""
    back = F.dense_rank().over(Window.partitionBy(ROW).orderBy(F.col(MICROS).desc())) - 1
    return history.withColumn("back", back.cast("int"))


def own_past(history: Frame) -> Frame:
    """row and item_id with `repeats` and `last_had` (microseconds)."""
    return history.groupBy(ROW, c.ITEM_ID).agg(
        F.count("*").cast("double").alias("repeats"), F.max(MICROS).alias("last_had")
    )


def shares(history: Frame, items: Frame, column: str, name: str) -> Frame:
    """row and `column` with `name`: share of the history's events with that value, among those with a known one."""
    known = history.join(items.select(c.ITEM_ID, column), on=c.ITEM_ID, how="inner").where(F.col(column) >= 0)
    counts = known.groupBy(ROW, column).agg(F.count("*").cast("double").alias("of_value"))
    total = F.sum("of_value").over(Window.partitionBy(ROW))
    return counts.select(ROW, column, (F.col("of_value") / total).alias(name))


def affinities(history: Frame, neighbours: Frame, measures: Sequence[str], settings: Settings) -> Frame:
    """row and item_id with `<measure>_sum`, `_max` and `_decayed`, all whole numbers.

    Args:
        history: with `back`; only its latest `last_steps` steps count.
        neighbours: item_id, neighbour and the measures in millionths.
        measures: columns of `neighbours`.
        settings: steps and their weights.
    """
    weight = F.lit(0)
    for back, value in enumerate(settings.step_weights().tolist()):
        weight = F.when(F.col("back") == back, F.lit(value)).otherwise(weight)
    recent = history.where(F.col("back") < settings.last_steps).withColumn("weight", weight.cast("long"))
    met = recent.select(ROW, F.col(c.ITEM_ID).alias("had"), "weight").join(
        neighbours.withColumnRenamed(c.ITEM_ID, "of"), on=F.col("had") == F.col("of"), how="inner"
    )
    made = []
    for name in measures:
        made += [
            F.sum(name).cast("long").alias(f"{name}_sum"),
            F.max(name).cast("long").alias(f"{name}_max"),
            F.sum(F.col(name).cast("long") * F.col("weight")).cast("long").alias(f"{name}_decayed"),
        ]
    return met.groupBy(ROW, F.col(NEIGHBOUR).alias(c.ITEM_ID)).agg(*made)


def request_columns(requests: Frame, history: Frame, settings: Settings) -> Frame:
    """row, micros, day, hour and the features of the request itself.

    Args:
        requests: row, micros, surface, device.
        history: with `back`.
        settings: the surfaces and devices that have columns.
    """
    sizes = history.groupBy(ROW).agg(
        F.count("*").cast("double").alias("events_before"),
        F.sum(F.when(F.col("back") < settings.last_steps, F.lit(1)).otherwise(F.lit(0)))
        .cast("double")
        .alias("events_near"),
    )
    timed = requests.join(sizes, on=ROW, how="left").withColumn(DAY, day_of(MICROS))
    second = (F.col(MICROS) - F.col(DAY).cast("long") * F.lit(DAY_MICROS)).cast("double") / F.lit(float(SECOND))
    # Day 0, 1970-01-01, was a Thursday.
    weekday = remainder(F.col(DAY) + F.lit(3), 7)
    timed = timed.withColumns({"second": second, "weekday_number": weekday.cast("double")})
    day, week = (F.lit(2 * _PI / turn) * F.col(name) for turn, name in ((86400.0, "second"), (7.0, "weekday_number")))
    flags = [_flag(c.SURFACE, name, f"surface_is_{name}") for name in settings.surfaces]
    flags += [_flag("device", name, f"device_is_{name}") for name in settings.devices]
    near = F.coalesce(F.col("events_near"), F.lit(0.0))
    return timed.select(
        ROW,
        MICROS,
        DAY,
        F.floor(F.col("second") / F.lit(3600.0)).cast("int").alias(c.HOUR),
        near.alias("events_near"),
        F.sin(day).alias("hour_sin"),
        F.cos(day).alias("hour_cos"),
        F.sin(week).alias("weekday_sin"),
        F.cos(week).alias("weekday_cos"),
        F.coalesce(F.col("events_before"), F.lit(0.0)).alias("history_length"),
        *flags,
    )


def _flag(column: str, value: str, name: str) -> Any:
    return F.when(F.col(column) == F.lit(value), F.lit(1.0)).otherwise(F.lit(0.0)).alias(name)


def candidate_rows(
    candidates: Frame,
    requests: Frame,
    history: Frame,
    items: Frame,
    daily: Frame,
    hours: Frame,
    near: Frame,
    similar: Frame,
    settings: Settings,
) -> Frame:
    """row, place and every raw feature (double), sorted by row and place.

    Args:
        candidates: row, place, item_id, score (null without); an item once a request.
        requests: row, micros, surface, device.
        history: row, item_id, micros: the latest events before each request.
        items: item_id, category_number, price_band (-1 for none), born (microseconds, null for unknown).
        daily: `popularity.item_days`, also of items that the catalogue lacks: they count among all items.
        hours: category_number, hour, hour_affinity (millionths).
        near: item_id, neighbour, together.
        similar: item_id, neighbour and `SIMILARITIES`.
        settings: the snapshot's.
    """
    past = steps(history)
    told = candidates.join(request_columns(requests, past, settings), on=ROW, how="inner")
    told = told.join(items, on=c.ITEM_ID, how="left")
    known = F.when(F.col(CATEGORY_NUMBER).isNotNull(), F.col(c.ITEM_ID)).otherwise(F.lit(""))
    told = staged(told.withColumn(_COUNTED_AS, known))
    told = told.join(_trailing(told, daily, settings), on=[_COUNTED_AS, DAY], how="left")
    told = told.join(own_past(history), on=[ROW, c.ITEM_ID], how="left")
    told = told.join(shares(history, items, CATEGORY_NUMBER, "category_share"), on=[ROW, CATEGORY_NUMBER], how="left")
    told = told.join(shares(history, items, BAND, "price_share"), on=[ROW, BAND], how="left")
    told = told.join(hours, on=[CATEGORY_NUMBER, c.HOUR], how="left")
    told = told.join(affinities(past, near, [TOGETHER], settings), on=[ROW, c.ITEM_ID], how="left")
    told = told.join(affinities(past, similar, SIMILARITIES, settings), on=[ROW, c.ITEM_ID], how="left")
    named = {feature.name: F.col(feature.name) for feature in settings.features}
    made = {**named, **_own_columns(), **_pair_columns()}
    features = (made[feature.name].cast("double").alias(feature.name) for feature in settings.features)
    return told.select(ROW, c.PLACE, *features).orderBy(ROW, c.PLACE)


def _trailing(told: Frame, daily: Frame, settings: Settings) -> Frame:
    """`counted_as`, day and the trailing windows of those items before those days."""
    asked = told.select(F.col(_COUNTED_AS).alias(c.ITEM_ID), DAY).distinct()
    found = popularity.trailing(daily, staged(asked), settings.days, settings.rate_strength)
    return found.withColumnRenamed(c.ITEM_ID, _COUNTED_AS)


def _own_columns() -> dict[str, Any]:
    zero, one = F.lit(0.0), F.lit(1.0)

    def days_since(column: str) -> Any:
        return (F.col(MICROS) - F.col(column)).cast("double") / F.lit(float(DAY_MICROS))

    born = F.col(BORN).isNotNull() & (F.col(BORN) <= F.col(MICROS))
    return {
        "age_days": F.when(born, days_since(BORN)).otherwise(zero),
        "age_known": F.when(born, one).otherwise(zero),
        "repeats": F.coalesce(F.col("repeats"), zero),
        "recency": F.when(F.col("last_had").isNotNull(), one / (one + days_since("last_had"))).otherwise(zero),
        "category_share": F.coalesce(F.col("category_share"), zero),
        "price_share": F.coalesce(F.col("price_share"), zero),
        "price_known": F.when(F.coalesce(F.col(BAND), F.lit(-1)) >= 0, one).otherwise(zero),
        "hour_affinity": F.coalesce(F.col("hour_affinity").cast("double"), zero) / F.lit(float(PER_UNIT)),
        "incoming_place": F.col(c.PLACE).cast("double"),
        "incoming_score": F.coalesce(F.col(c.SCORE).cast("double"), zero),
        "incoming_score_known": F.when(F.col(c.SCORE).isNotNull(), one).otherwise(zero),
    }


def _pair_columns() -> dict[str, Any]:
    unit, zero = F.lit(float(PER_UNIT)), F.lit(0.0)
    near = F.greatest(F.col("events_near"), F.lit(1.0))

    def whole(name: str) -> Any:
        return F.coalesce(F.col(name).cast("double"), zero)

    made = {f"{TOGETHER}_decayed": whole(f"{TOGETHER}_decayed") / F.lit(float(PER_UNIT * STEP_UNIT))}
    for name in (TOGETHER, *SIMILARITIES):
        made[f"{name}_max"] = F.greatest(whole(f"{name}_max"), zero) / unit
        made[f"{name}_mean"] = whole(f"{name}_sum") / unit / near
    return made
