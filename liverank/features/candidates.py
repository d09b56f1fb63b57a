"""Features of candidates offline: frames over the log, one row a request and candidate.

Every look back ends strictly before the request. What each column means is told in `candidate_features`; `online`
computes the same from a request. Whole numbers are added first and divided once, so that both give equal values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from liverank import columns as c
from liverank.features.candidate_features import COUNTED, SIMILARITIES, TOGETHER
from liverank.features.definitions import DAY, DAY_MICROS, KNOWN, MICROS, SECOND, day_of, remainder
from liverank.features.engine import F, Frame, Window
from liverank.features.requests import ROW
from liverank.features.similarity import NEIGHBOUR
from liverank.features.snapshot import PER_UNIT, STEP_UNIT, Settings

BORN = "born"
BAND = "price_band"
CATEGORY_NUMBER = "category_number"
_PI = 3.141592653589793


def daily_counts(
    events: Frame, impressions: Frame, label_types: Sequence[str], conversion_types: Sequence[str]
) -> Frame:
    """item_id, day and the four counts of `COUNTED`; events on the day they were known, lists on the day shown.

    Args:
        events: one row an event id, with `known`.
        impressions: one row an impression id, with `micros`.
        label_types: types that answer a list positively.
        conversion_types: types that count as conversions.
    """
    one = F.lit(1).cast("long")
    none = F.lit(0).cast("long")
    answer = F.col(c.TYPE).isin(*label_types) & F.col(c.IMPRESSION_ID).isNotNull()
    converts = F.col(c.TYPE).isin(*conversion_types) if conversion_types else F.lit(False)
    happened = events.select(
        c.ITEM_ID,
        day_of(KNOWN).alias(DAY),
        one.alias("events"),
        none.alias("shown"),
        F.when(answer, one).otherwise(none).alias("answered"),
        F.when(converts, one).otherwise(none).alias("converted"),
    )
    lines = impressions.select(day_of(MICROS).alias(DAY), F.explode(c.SHOWN).alias("line"))
    seen = lines.select(
        F.col("line").getField(c.ITEM_ID).alias(c.ITEM_ID),
        DAY,
        none.alias("events"),
        one.alias("shown"),
        none.alias("answered"),
        none.alias("converted"),
    )
    totals = [F.sum(name).cast("long").alias(name) for name in COUNTED]
    return happened.unionByName(seen).groupBy(c.ITEM_ID, DAY).agg(*totals)


def window_name(count: str, width: int) -> str:
    """Name of a count's sum over the `width` whole days before a day."""
    return f"{count}_{width}"


def windows(asked: Frame, daily: Frame, days: Sequence[int]) -> Frame:
    """item_id and day of `asked` with the sums of each count over each trailing window of whole days."""
    zeros = [F.lit(0).cast("long").alias(name) for name in COUNTED]
    marks = asked.select(c.ITEM_ID, DAY).distinct().select(c.ITEM_ID, DAY, *zeros, F.lit(1).alias("asked"))
    counts = daily.select(c.ITEM_ID, DAY, *COUNTED, F.lit(0).alias("asked"))
    both = counts.unionByName(marks).groupBy(c.ITEM_ID, DAY)
    merged = both.agg(*(F.sum(name).cast("long").alias(name) for name in COUNTED), F.max("asked").alias("asked"))
    by_day = Window.partitionBy(c.ITEM_ID).orderBy(DAY)
    sums = [
        F.coalesce(F.sum(name).over(by_day.rangeBetween(-width, -1)), F.lit(0))
        .cast("double")
        .alias(window_name(name, width))
        for width in days
        for name in COUNTED
    ]
    return merged.select(c.ITEM_ID, DAY, "asked", *sums).where(F.col("asked") == 1).drop("asked")


def rates(settings: Settings) -> list[Any]:
    """The columns of `item_features` out of those of `windows`."""
    smooth, found = F.lit(float(settings.smoothing)), []
    for width in settings.days:
        events, shown, answered, converted = (F.col(window_name(name, width)) for name in COUNTED)
        found += [
            events.alias(f"popularity_{width}d"),
            shown.alias(f"shown_{width}d"),
            ((answered + F.lit(settings.smoothing * settings.ctr)) / (shown + smooth)).alias(f"ctr_{width}d"),
            ((converted + F.lit(settings.smoothing * settings.conversion)) / (events + smooth)).alias(
                f"conversion_{width}d"
            ),
        ]
    return found


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
        daily: `daily_counts`.
        hours: category_number, hour, hour_affinity (millionths).
        near: item_id, neighbour, together.
        similar: item_id, neighbour and `SIMILARITIES`.
        settings: the snapshot's.
    """
    past = steps(history)
    known = daily.join(items.select(c.ITEM_ID), on=c.ITEM_ID, how="inner")
    told = candidates.join(request_columns(requests, past, settings), on=ROW, how="inner")
    told = told.join(items, on=c.ITEM_ID, how="left")
    told = told.join(windows(told, known, settings.days), on=[c.ITEM_ID, DAY], how="left")
    told = told.join(own_past(history), on=[ROW, c.ITEM_ID], how="left")
    told = told.join(shares(history, items, CATEGORY_NUMBER, "category_share"), on=[ROW, CATEGORY_NUMBER], how="left")
    told = told.join(shares(history, items, BAND, "price_share"), on=[ROW, BAND], how="left")
    told = told.join(hours, on=[CATEGORY_NUMBER, c.HOUR], how="left")
    told = told.join(affinities(past, near, [TOGETHER], settings), on=[ROW, c.ITEM_ID], how="left")
    told = told.join(affinities(past, similar, SIMILARITIES, settings), on=[ROW, c.ITEM_ID], how="left")
    named = {feature.name: F.col(feature.name) for feature in settings.features}
    zero = {name: F.coalesce(F.col(window_name(*name)), F.lit(0.0)) for name in _window_names(settings)}
    told = told.withColumns({window_name(*name): value for name, value in zero.items()})
    made = {**named, **_own_columns(), **_pair_columns()}
    made |= dict(zip(_rate_names(settings), rates(settings), strict=True))
    features = (made[feature.name].cast("double").alias(feature.name) for feature in settings.features)
    return told.select(ROW, c.PLACE, *features).orderBy(ROW, c.PLACE)


def _window_names(settings: Settings) -> list[tuple[str, int]]:
    return [(name, width) for width in settings.days for name in COUNTED]


def _rate_names(settings: Settings) -> list[str]:
    return [feature.name for feature in settings.features[: 4 * len(settings.days)]]


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
