"""How often items were met, shown, clicked and bought: counts an item and day, and sums over trailing whole days.

The one definition: the files of past days (`item_days`, `trailing`) and the features of candidates are made by these
functions, and serving (`daily`, `online`) computes equal values. On the W whole UTC days before a day:

* `popularity_Wd`: events of the item.
* `shown_Wd`: lines of shown lists with the item, and its events of the view types that answer no list.
* `ctr_Wd` = (clicks + s * r) / (shown + s), with r the clicks of all items divided by all they were shown in the same
  days (0 where nothing was shown), and s `features.rate_strength`. Of an item without any count that is r.
* `conversion_Wd`: the same with purchases for clicks.

Counted on one row an item and day: a window over single events is far slower on a hot item. An event belongs to the day
on which it became known, so that what arrives late changes no earlier day; a list to the day of its request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from liverank import columns as c
from liverank.features.definitions import DAY, KNOWN, MICROS, day_of
from liverank.features.engine import F, Frame, Window, staged, union

EVENTS, SHOWN, CLICKS, PURCHASES = COUNTS = ("events", "shown", "clicks", "purchases")
ARRIVAL = "arrival_day"
"""Working column: the day on which the first event of an item and day arrived."""


class CountedTypes(Protocol):
    """Which types of events count as what: section `features`, or a snapshot's settings."""

    @property
    def view_types(self) -> tuple[str, ...]:
        """Types that count as shown where they answer no list."""
        ...

    @property
    def click_types(self) -> tuple[str, ...]:
        """Types that count as a click."""
        ...

    @property
    def purchase_types(self) -> tuple[str, ...]:
        """Types that count as a purchase."""
        ...


def item_days(events: Frame, impressions: Frame, config: CountedTypes) -> Frame:
    """One row an item and day with any: item_id, day, events, shown, clicks, purchases.

    Shown are the lines of shown lists and the events of the view types that answer no list.
    """
    viewed = F.col(c.TYPE).isin(*config.view_types) & F.col(c.IMPRESSION_ID).isNull()
    counted = events.groupBy(c.ITEM_ID, day_of(KNOWN).alias(DAY)).agg(
        F.count("*").cast("long").alias(EVENTS),
        _count(viewed).alias(SHOWN),
        _count(F.col(c.TYPE).isin(*config.click_types)).alias(CLICKS),
        _count(F.col(c.TYPE).isin(*config.purchase_types)).alias(PURCHASES),
    )
    lines = impressions.select(day_of(MICROS).alias(DAY), F.explode(c.SHOWN).alias("line"))
    shown = lines.groupBy(F.col("line").getField(c.ITEM_ID).alias(c.ITEM_ID), DAY).agg(
        F.count("*").cast("long").alias(SHOWN)
    )
    nothing = F.lit(0).cast("long")
    shown = shown.where(F.col(c.ITEM_ID).isNotNull()).select(
        c.ITEM_ID, DAY, nothing.alias(EVENTS), SHOWN, nothing.alias(CLICKS), nothing.alias(PURCHASES)
    )
    return _summed(union(counted, shown), c.ITEM_ID, DAY)


def trailing_columns(days: Sequence[int]) -> list[str]:
    """What the trailing files say of an item and day, in order."""
    return [name(width) for width in days for name in (c.popularity, c.shown_times, c.ctr, c.conversion)]


def trailing(counts: Frame, asked: Frame, days: Sequence[int], strength: float) -> Frame:
    """What the whole days before a day say of an item: the rows of `asked` with `trailing_columns`.

    Args:
        counts: `item_days`, of all items.
        asked: item_id, day and columns to keep; each item and day once.
        days: widths of the windows.
        strength: times shown that the common rate weighs.
    """
    nothing = [F.lit(0).cast("long").alias(name) for name in COUNTS]
    both = union(counts, asked.select(c.ITEM_ID, DAY, *nothing))
    items = _windows(staged(_summed(both, c.ITEM_ID, DAY)), Window.partitionBy(c.ITEM_ID), days)
    # One row a day: a window without a partition is small.
    everything = _windows(staged(_summed(both, DAY)), Window.partitionBy(F.lit(0)), days, "all_")
    totals = everything.select(DAY, *[f"all_{name}_{width}" for name in COUNTS for width in days])
    told = asked.join(staged(items), on=[c.ITEM_ID, DAY]).join(staged(totals), on=DAY)
    columns = [column for width in days for column in _told(width, float(strength))]
    return staged(told).select(*asked.columns, *columns)


def _told(width: int, strength: float) -> list[Any]:
    def rate(answers: str) -> Any:
        shown, everything = F.col(f"{SHOWN}_{width}"), F.col(f"all_{SHOWN}_{width}")
        common = F.when(everything > 0, F.col(f"all_{answers}_{width}").cast("double") / everything.cast("double"))
        weighed = F.coalesce(common, F.lit(0.0)) * F.lit(strength)
        return (F.col(f"{answers}_{width}").cast("double") + weighed) / (shown.cast("double") + F.lit(strength))

    return [
        F.col(f"{EVENTS}_{width}").alias(c.popularity(width)),
        F.col(f"{SHOWN}_{width}").alias(c.shown_times(width)),
        rate(CLICKS).alias(c.ctr(width)),
        rate(PURCHASES).alias(c.conversion(width)),
    ]


def _windows(counts: Frame, partition: Any, days: Sequence[int], prefix: str = "") -> Frame:
    sums = {
        f"{prefix}{name}_{width}": F.coalesce(
            F.sum(name).over(partition.orderBy(DAY).rangeBetween(-width, -1)), F.lit(0)
        ).cast("long")
        for width in days
        for name in COUNTS
    }
    return counts.withColumns(sums)


def _summed(counts: Frame, *keys: str) -> Frame:
    return counts.groupBy(*keys).agg(*[F.sum(name).cast("long").alias(name) for name in COUNTS])


def _count(condition: Any) -> Any:
    return F.sum(F.when(condition, 1).otherwise(0)).cast("long")
