"""Which items are met together: pairs of one session, counted a part at a time and summed at the end.

Two events of one user's session, at most `window` events apart in the order of their arrival, are a pair of their
items; so a pair belongs to the day on which its later event arrived, and what arrives tomorrow changes no pair of
today. A pair d events apart weighs 1/d, as the count model's transitions do.
"""

from __future__ import annotations

from typing import Any

from liverank import columns as c
from liverank.features.definitions import DAY, KNOWN, MICROS, day_of
from liverank.features.engine import F, Frame, Window, staged, union

NEIGHBOUR, TOGETHER, WEIGHT = "neighbour_id", "together", "weight"
_FRESH, _ORDER = "fresh", (KNOWN, MICROS, c.EVENT_ID)
_UNIT = 1_000_000
"""Weights are summed as whole millionths: sums of fractions depend on their order."""


def partial_pairs(fresh: Frame, log: Frame | None, window: int) -> Frame:
    """Pairs whose later event is fresh: item_id < neighbour_id, day, together, weight in millionths.

    Args:
        fresh: events with session, micros and known.
        log: the same of all earlier parts.
        window: largest distance of a pair, in events.
    """
    names = (c.USER_ID, c.SESSION, c.ITEM_ID, *_ORDER)
    rows = fresh.select(*names, F.lit(True).alias(_FRESH))
    if log is not None:
        going_on = fresh.select(c.USER_ID, c.SESSION).distinct()
        earlier = log.select(*names).join(going_on, [c.USER_ID, c.SESSION], "leftsemi")
        rows = union(rows, earlier.withColumn(_FRESH, F.lit(False)))
    in_session = Window.partitionBy(c.USER_ID, c.SESSION).orderBy(*_ORDER)
    # One list a row of what came before: the events are sorted once, whatever the window.
    other = [F.lag(c.ITEM_ID, back).over(in_session).alias(f"before_{back}") for back in range(1, window + 1)]
    told = staged(rows.select(c.ITEM_ID, KNOWN, _FRESH, *other)).where(F.col(_FRESH))
    apart = [
        F.struct(F.col(f"before_{back}").alias(NEIGHBOUR), F.lit(round(_UNIT / back)).alias(WEIGHT))
        for back in range(1, window + 1)
    ]
    pairs = told.select(c.ITEM_ID, day_of(KNOWN).alias(DAY), F.explode(F.array(*apart)).alias("pair"))
    met = pairs.select(
        F.col(c.ITEM_ID).alias("one"), DAY, _of("pair", NEIGHBOUR).alias("other"), _of("pair", WEIGHT).alias(WEIGHT)
    )
    found = staged(met).where(F.col("other") != F.col("one"))
    least, most = F.least("one", "other").alias(c.ITEM_ID), F.greatest("one", "other").alias(NEIGHBOUR)
    return found.groupBy(least, most, DAY).agg(
        F.count("*").cast("long").alias(TOGETHER), F.sum(WEIGHT).cast("long").alias(WEIGHT)
    )


def _of(pair: str, name: str) -> Any:
    return F.col(pair).getField(name)


def neighbours(partials: Frame, most: int) -> Frame:
    """The `most` heaviest neighbours of each item: sorted by item, then weight (columns as in the file).

    Args:
        partials: `partial_pairs` of all parts.
        most: neighbours of an item.
    """
    summed = partials.groupBy(c.ITEM_ID, NEIGHBOUR).agg(
        F.sum(TOGETHER).cast("long").alias(TOGETHER), F.sum(WEIGHT).cast("long").alias(WEIGHT)
    )
    summed = staged(summed)
    turned = summed.select(
        F.col(NEIGHBOUR).alias(c.ITEM_ID), F.col(c.ITEM_ID).alias(NEIGHBOUR), F.col(TOGETHER), F.col(WEIGHT)
    )
    heaviest = Window.partitionBy(c.ITEM_ID).orderBy(F.col(WEIGHT).desc(), NEIGHBOUR)
    ranked = union(summed, turned).withColumn("place", F.row_number().over(heaviest)).where(F.col("place") <= most)
    weight = (F.col(WEIGHT).cast("double") / F.lit(float(_UNIT))).alias(WEIGHT)
    return staged(ranked).orderBy(c.ITEM_ID, "place").select(c.ITEM_ID, NEIGHBOUR, TOGETHER, weight)
