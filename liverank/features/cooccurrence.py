"""Which items are met together: pairs of one session, counted a part at a time and summed at the end.

Two events of one user's session, at most `window` events apart in the order of their arrival, are a pair of their
items; so a pair belongs to the day on which its later event arrived, and what arrives tomorrow changes no pair of
today. A pair d events apart weighs 1/d, as the count model's transitions do.
"""

from __future__ import annotations

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
    before = {f"before_{back}": F.lag(c.ITEM_ID, back).over(in_session) for back in range(1, window + 1)}
    told = staged(rows.withColumns(before)).where(F.col(_FRESH))
    pairs = union(*(_apart(told, back) for back in range(1, window + 1)))
    return pairs.groupBy(c.ITEM_ID, NEIGHBOUR, DAY).agg(
        F.count("*").cast("long").alias(TOGETHER), F.sum(WEIGHT).cast("long").alias(WEIGHT)
    )


def _apart(told: Frame, back: int) -> Frame:
    other = F.col(f"before_{back}")
    return told.where(other.isNotNull() & (other != F.col(c.ITEM_ID))).select(
        F.least(F.col(c.ITEM_ID), other).alias(c.ITEM_ID),
        F.greatest(F.col(c.ITEM_ID), other).alias(NEIGHBOUR),
        day_of(KNOWN).alias(DAY),
        F.lit(round(_UNIT / back)).cast("long").alias(WEIGHT),
    )


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
