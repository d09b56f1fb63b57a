"""Which items are met together: pairs of one session, counted a part at a time and summed at the end.

Two events of one user's session, at most `window` events apart in the order of their arrival, are a pair of their
items; so a pair belongs to the day on which its later event arrived, and what arrives tomorrow changes no pair of
today. A pair d events apart weighs 1/d, as the count model's transitions do.

Pairs are counted by codes of 64 bits in place of ids, in half the time: there are many more pairs than items. That two
of a million items share a code, and so their pairs, has a probability of 3e-8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from liverank import columns as c
from liverank.features.definitions import DAY, KNOWN, MICROS, day_of
from liverank.features.engine import Engine, F, Frame, Window, staged, union

NEIGHBOUR, TOGETHER, WEIGHT = "neighbour_id", "together", "weight"
ONE, OTHER = "one", "other"
"""Codes of the items of a pair, the lesser first."""
_FRESH, _ORDER = "fresh", (KNOWN, MICROS, c.EVENT_ID)
_CODE, _PLACE = "code", "place"
_UNIT = 1_000_000
"""Weights are summed as whole millionths: sums of fractions depend on their order."""


def partial_pairs(engine: Engine, fresh: Frame, log: Frame | None, window: int) -> Frame:
    """Pairs whose later event is fresh: one < other (codes), day, together, weight in millionths.

    Args:
        engine: the open engine.
        fresh: events with session, micros and known.
        log: the same of all earlier parts.
        window: largest distance of a pair, in events.
    """
    rows = _coded(engine, fresh, True)
    if log is not None:
        going_on = fresh.select(c.USER_ID, c.SESSION).distinct()
        rows = union(rows, _coded(engine, log.join(going_on, [c.USER_ID, c.SESSION], "leftsemi"), False))
    in_session = Window.partitionBy(c.USER_ID, c.SESSION).orderBy(*_ORDER)
    # One list a row of what came before: the events are sorted once, whatever the window.
    other = [F.lag(_CODE, back).over(in_session).alias(f"before_{back}") for back in range(1, window + 1)]
    told = staged(staged(rows).select(_CODE, KNOWN, _FRESH, *other)).where(F.col(_FRESH))
    apart = [
        F.struct(F.col(f"before_{back}").alias(OTHER), F.lit(round(_UNIT / back)).alias(WEIGHT))
        for back in range(1, window + 1)
    ]
    pairs = told.select(_CODE, day_of(KNOWN).alias(DAY), F.explode(F.array(*apart)).alias("pair"))
    met = pairs.select(_CODE, DAY, _of("pair", OTHER).alias(OTHER), _of("pair", WEIGHT).alias(WEIGHT))
    found = staged(met).where(F.col(OTHER) != F.col(_CODE))
    ordered = F.least(_CODE, OTHER).alias(ONE), F.greatest(_CODE, OTHER).alias(OTHER)
    return (
        staged(found.select(*ordered, DAY, WEIGHT))
        .groupBy(ONE, OTHER, DAY)
        .agg(F.count("*").cast("long").alias(TOGETHER), F.sum(WEIGHT).cast("long").alias(WEIGHT))
    )


def _coded(engine: Engine, events: Frame, fresh: bool) -> Frame:
    code = engine.row_hash([c.ITEM_ID]).alias(_CODE)
    return events.select(c.USER_ID, c.SESSION, code, *_ORDER, F.lit(fresh).alias(_FRESH))


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
    sums = F.sum(TOGETHER).cast("long").alias(TOGETHER), F.sum(WEIGHT).cast("long").alias(WEIGHT)
    summed = engine.kept(partials.groupBy(ONE, OTHER).agg(*sums), "pairs summed")
    turned = summed.select(F.col(OTHER).alias(ONE), F.col(ONE).alias(OTHER), TOGETHER, WEIGHT)
    both = union(summed, turned)
    heavy = staged(both.join(_least(both, most), ONE).where(F.col(WEIGHT) >= F.col("least")))
    ids = engine.rows(pa.table({c.ITEM_ID: items, _PLACE: np.arange(len(items), dtype=np.int32)}))
    ids = ids.withColumn(_CODE, engine.row_hash([c.ITEM_ID]))
    item = ids.select(F.col(_CODE).alias(ONE), c.ITEM_ID, F.col(_PLACE).alias("item_place"))
    other = ids.select(F.col(_CODE).alias(OTHER), F.col(c.ITEM_ID).alias(NEIGHBOUR), F.col(_PLACE).alias("other_place"))
    named = staged(heavy.join(item, ONE).join(other, OTHER))
    heaviest = Window.partitionBy("item_place").orderBy(F.col(WEIGHT).desc(), "other_place")
    ranked = staged(named.withColumn("rank", F.row_number().over(heaviest))).where(F.col("rank") <= most)
    weight = (F.col(WEIGHT).cast("double") / F.lit(float(_UNIT))).alias(WEIGHT)
    return ranked.orderBy("item_place", "rank").select(c.ITEM_ID, NEIGHBOUR, TOGETHER, weight)


def _least(both: Frame, most: int) -> Frame:
    """The least weight of each item's `most` heaviest pairs: so only those need be sorted."""
    levels = staged(both.groupBy(ONE, WEIGHT).agg(F.count("*").cast("long").alias("rows")))
    downwards = Window.partitionBy(ONE).orderBy(F.col(WEIGHT).desc())
    heavier = F.sum("rows").over(downwards.rowsBetween(Window.unboundedPreceding, -1))
    wanted = staged(levels.withColumn("heavier", F.coalesce(heavier, F.lit(0)))).where(F.col("heavier") < most)
    return staged(wanted).groupBy(ONE).agg(F.min(WEIGHT).alias("least"))
