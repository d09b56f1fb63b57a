"""Which items are met together: pairs of one session, counted a part at a time and summed at the end.

Two events of one user's session, at most `window` events apart in the order of their arrival, are a pair of their
items; so a pair belongs to the day on which its later event arrived, and what arrives tomorrow changes no pair of
today. A pair d events apart weighs 1/d, as the count model's transitions do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from liverank import columns as c
from liverank.features.definitions import DAY, KNOWN, MICROS, day_of
from liverank.features.engine import Engine, F, Frame, Window, staged, union

NEIGHBOUR, TOGETHER, WEIGHT = "neighbour_id", "together", "weight"
_FRESH, _ORDER = "fresh", (KNOWN, MICROS, c.EVENT_ID)
_ID, _ONE, _OTHER = "id", "one", "other"
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
        F.col(c.ITEM_ID).alias(_ONE), DAY, _of("pair", NEIGHBOUR).alias(_OTHER), _of("pair", WEIGHT).alias(WEIGHT)
    )
    found = staged(met).where(F.col(_OTHER) != F.col(_ONE))
    least, most = F.least(_ONE, _OTHER).alias(c.ITEM_ID), F.greatest(_ONE, _OTHER).alias(NEIGHBOUR)
    return found.groupBy(least, most, DAY).agg(
        F.count("*").cast("long").alias(TOGETHER), F.sum(WEIGHT).cast("long").alias(WEIGHT)
    )


def _of(pair: str, name: str) -> Any:
    return F.col(pair).getField(name)


def neighbours(engine: Engine, partials: Frame, items: pa.ChunkedArray, most: int) -> Frame:
    """The `most` heaviest neighbours of each item: sorted by item, then weight (columns as in the file).

    Args:
        engine: the open engine.
        partials: `partial_pairs`, of one part or several.
        items: all item ids, sorted.
        most: neighbours of an item.
    """
    codes = engine.rows(pa.table({_ID: items, _ONE: np.arange(len(items), dtype=np.int32)}))
    named = (
        codes.select(F.col(_ID).alias(c.ITEM_ID), _ONE),
        codes.select(F.col(_ID).alias(NEIGHBOUR), F.col(_ONE).alias(_OTHER)),
    )
    coded = staged(partials.join(named[0], c.ITEM_ID).join(named[1], NEIGHBOUR))
    sums = F.sum(TOGETHER).cast("long").alias(TOGETHER), F.sum(WEIGHT).cast("long").alias(WEIGHT)
    summed = engine.kept(coded.groupBy(_ONE, _OTHER).agg(*sums), "pairs summed")
    turned = summed.select(F.col(_OTHER).alias(_ONE), F.col(_ONE).alias(_OTHER), TOGETHER, WEIGHT)
    both = union(summed, turned)
    heavy = both.join(_least(both, most), _ONE).where(F.col(WEIGHT) >= F.col("least"))
    heaviest = Window.partitionBy(_ONE).orderBy(F.col(WEIGHT).desc(), _OTHER)
    ranked = staged(staged(heavy).withColumn("place", F.row_number().over(heaviest)).where(F.col("place") <= most))
    weight = (F.col(WEIGHT).cast("double") / F.lit(float(_UNIT))).alias(WEIGHT)
    told = ranked.join(named[0], _ONE).join(named[1], _OTHER).orderBy(_ONE, "place")
    return told.select(c.ITEM_ID, NEIGHBOUR, TOGETHER, weight)


def _least(both: Frame, most: int) -> Frame:
    """The least weight of each item's `most` heaviest pairs: so only those need be sorted."""
    levels = staged(both.groupBy(_ONE, WEIGHT).agg(F.count("*").cast("long").alias("rows")))
    downwards = Window.partitionBy(_ONE).orderBy(F.col(WEIGHT).desc())
    heavier = F.sum("rows").over(downwards.rowsBetween(Window.unboundedPreceding, -1))
    wanted = staged(levels.withColumn("heavier", F.coalesce(heavier, F.lit(0)))).where(F.col("heavier") < most)
    return staged(wanted).groupBy(_ONE).agg(F.min(WEIGHT).alias("least"))
