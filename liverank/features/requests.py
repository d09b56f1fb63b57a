"""Ranking requests out of the event stream: which there are, how they are split, and their answers and histories.

A shown list (impression) is one request; positive interactions that answer no list are grouped into baskets, one
request for each user and instant. Frames in, frames out, as in `definitions`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlframe.duckdb import Window
from sqlframe.duckdb import functions as F

from liverank import columns as c
from liverank.config.features import FeatureConfig
from liverank.errors import DataError
from liverank.features.definitions import MICROS, ORDINAL, SECOND, Cuts, split, with_micros
from liverank.features.engine import Frame

IMPRESSIONS = "impressions"
RETRIEVER = "retriever"
ROW = "row"
"""Working column: the request's row in the finished table, from 0."""


def keys(impressions: Frame, interactions: Frame, label_types: Sequence[str]) -> Frame:
    """Every request that can be made: request_id, user_id, timestamp, micros, surface, source."""
    shown = with_micros(first_impressions(impressions)).select(
        F.col(c.IMPRESSION_ID).alias(c.REQUEST_ID),
        c.USER_ID,
        c.TIMESTAMP,
        MICROS,
        F.coalesce(F.col(c.SURFACE), F.lit("")).alias(c.SURFACE),
        F.lit(IMPRESSIONS).alias(c.SOURCE),
    )
    baskets = unprompted(interactions, label_types).select(c.REQUEST_ID, c.USER_ID, c.TIMESTAMP, MICROS).distinct()
    return shown.unionByName(
        baskets.withColumn(c.SURFACE, F.lit("")).withColumn(c.SOURCE, F.lit(RETRIEVER)).select(*shown.columns)
    )


def first_impressions(impressions: Frame) -> Frame:
    """One row an impression id (its earliest)."""
    first = Window.partitionBy(c.IMPRESSION_ID).orderBy(c.TIMESTAMP, c.USER_ID)
    ranked = impressions.withColumn("occurrence", F.row_number().over(first))
    return ranked.where(F.col("occurrence") == 1).drop("occurrence")


def unprompted(interactions: Frame, label_types: Sequence[str]) -> Frame:
    """Positive interactions that answer no list, with the id of the basket they belong to."""
    positive = interactions.where(F.col(c.TYPE).isin(*label_types) & F.col(c.IMPRESSION_ID).isNull())
    identity = F.concat(F.lit("basket:"), F.col(c.USER_ID), F.lit(":"), F.col(MICROS).cast("string"))
    return positive.withColumn(c.REQUEST_ID, identity)


def cut(requests: Frame, config: FeatureConfig) -> Cuts:
    """The instants that leave the latest requests to the test and those before them to the validation.

    A share of the requests, at most `max_requests`, decides where each instant lies; requests of one instant stay
    together, so a split may hold more.

    Raises:
        DataError: there are too few instants with requests to have a training time, a validation and a test.
    """
    times = requests.select(MICROS)
    total = times.count()
    gap = round(config.gap_seconds * SECOND)
    test_from = _start(times, min(config.max_requests, max(1, round(total * config.test_share))))
    validation_until = test_from - gap
    earlier = times.where(F.col(MICROS) < validation_until)
    validation_from = _start(earlier, min(config.max_requests, max(1, round(total * config.validation_share))))
    train_until = validation_from - gap
    if not times.where(F.col(MICROS) < train_until).limit(1).count():
        raise _too_few()
    return Cuts(train_until, validation_from, validation_until, test_from)


def _start(times: Frame, count: int) -> int:
    latest = times.orderBy(F.col(MICROS).desc()).limit(count).agg(F.min(MICROS).alias(MICROS)).collect()[0][0]
    if latest is None:
        raise _too_few()
    return int(latest)


def _too_few() -> DataError:
    return DataError(
        "There are too few requests to split by time: training, validation and test each need at least one.",
        "Give more impressions or interactions of the label types (data.label_types), at different times.",
    )


def chosen(requests: Frame, cuts: Cuts, config: FeatureConfig) -> Frame:
    """The latest requests of each split up to its limit, with `split` and `row` (by time, then id).

    Of the training requests without a list at most the later half is taken: their candidates come from a retriever
    that learns from the events before them.
    """
    named = split(requests, cuts).where(F.col(c.SPLIT) != F.lit(c.GAP))
    newest = (F.col(MICROS).desc(), F.col(c.REQUEST_ID).desc())
    training = F.col(c.SPLIT) == F.lit(c.TRAIN)
    numbered = named.withColumns(
        {
            "place": F.row_number().over(Window.partitionBy(c.SPLIT).orderBy(*newest)),
            "place_of_kind": F.row_number().over(Window.partitionBy(c.SPLIT, c.SOURCE).orderBy(*newest)),
            "of_kind": F.count("*").over(Window.partitionBy(c.SPLIT, c.SOURCE)),
        }
    )
    limit = F.when(training, F.lit(config.max_train_requests)).otherwise(F.lit(config.max_requests))
    early = training & (F.col(c.SOURCE) == F.lit(RETRIEVER)) & (F.col("place_of_kind") * 2 > F.col("of_kind"))
    kept = numbered.where((F.col("place") <= limit) & ~early).drop("place", "place_of_kind", "of_kind")
    row = F.row_number().over(Window.orderBy(MICROS, c.REQUEST_ID)) - 1
    return kept.withColumn(ROW, row.cast("long")).orderBy(ROW)


def histories(requests: Frame, events: Frame, length: int) -> Frame:
    """The last `length` events strictly before each request: row, item_id, type, micros; sorted by row, then time.

    Args:
        requests: user_id, micros, row.
        events: user_id, micros, ordinal, item_id, type.
        length: most events of a request.
    """
    users = requests.select(c.USER_ID).distinct()
    theirs = events.select(c.USER_ID, MICROS, ORDINAL, c.ITEM_ID, c.TYPE).join(users, on=c.USER_ID, how="inner")
    asked = _earlier_events(requests, theirs).where(F.col("earlier") > 0)
    first = F.greatest(F.col("earlier") - F.lit(length - 1), F.lit(1))
    places = asked.select(ROW, c.USER_ID, F.explode(F.sequence(first, F.col("earlier"))).alias(ORDINAL))
    found = places.join(theirs, on=[c.USER_ID, ORDINAL], how="inner")
    return found.orderBy(ROW, ORDINAL).select(ROW, c.ITEM_ID, c.TYPE, MICROS)


def _earlier_events(requests: Frame, events: Frame) -> Frame:
    """Requests with `earlier`, the number of their user's strictly earlier events."""
    marks = events.select(c.USER_ID, MICROS, F.lit(1).alias("event"), F.lit(-1).cast("long").alias(ROW))
    asks = requests.select(c.USER_ID, MICROS, F.lit(0).alias("event"), ROW)
    before = Window.partitionBy(c.USER_ID).orderBy(MICROS).rangeBetween(Window.unboundedPreceding, -1)
    counted = marks.unionByName(asks).withColumn("earlier", F.coalesce(F.sum("event").over(before), F.lit(0)))
    return counted.where(F.col(ROW) >= 0).withColumn("earlier", F.col("earlier").cast("long"))


def truths(requests: Frame, interactions: Frame, label_types: Sequence[str]) -> Frame:
    """The distinct relevant items of each request: row, item_id; sorted."""
    positive = interactions.where(F.col(c.TYPE).isin(*label_types) & F.col(c.IMPRESSION_ID).isNotNull())
    answers = positive.select(F.col(c.IMPRESSION_ID).alias(c.REQUEST_ID), c.ITEM_ID, F.lit(IMPRESSIONS).alias(c.SOURCE))
    baskets = unprompted(interactions, label_types).select(c.REQUEST_ID, c.ITEM_ID, F.lit(RETRIEVER).alias(c.SOURCE))
    both = answers.unionByName(baskets)
    return (
        requests.select(ROW, c.REQUEST_ID, c.SOURCE)
        .join(both, on=[c.REQUEST_ID, c.SOURCE])
        .select(ROW, c.ITEM_ID)
        .distinct()
        .orderBy(ROW, c.ITEM_ID)
    )


def basket_contexts(requests: Frame, interactions: Frame, label_types: Sequence[str]) -> Frame:
    """The context of each basket's first event: row, context; sorted by row."""
    first = Window.partitionBy(c.REQUEST_ID).orderBy(c.EVENT_ID)
    told = unprompted(interactions, label_types).withColumn("place", F.row_number().over(first))
    told = told.where(F.col("place") == 1).select(c.REQUEST_ID, c.CONTEXT)
    asked = requests.where(F.col(c.SOURCE) == F.lit(RETRIEVER)).select(ROW, c.REQUEST_ID)
    return asked.join(told, on=c.REQUEST_ID).orderBy(ROW).select(ROW, c.CONTEXT)


def shown_lists(requests: Frame, impressions: Frame) -> Frame:
    """The shown list and context of each request that has one: row, shown, context; sorted by row."""
    lists = first_impressions(impressions).select(F.col(c.IMPRESSION_ID).alias(c.REQUEST_ID), c.SHOWN, c.CONTEXT)
    asked = requests.where(F.col(c.SOURCE) == F.lit(IMPRESSIONS)).select(ROW, c.REQUEST_ID)
    return asked.join(lists, on=c.REQUEST_ID).orderBy(ROW).select(ROW, c.SHOWN, c.CONTEXT)
