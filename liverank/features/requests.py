"""Ranking requests out of the event stream: which there are, how they are split, and their answers and histories.

A shown list (impression) is one request; positive interactions that answer no list are grouped into baskets, one
request for each user and instant. Frames in, frames out, as in `definitions`.
"""

from __future__ import annotations

from collections.abc import Sequence

from liverank import columns as c
from liverank.config.features import FeatureConfig
from liverank.errors import DataError
from liverank.features.definitions import DAY, KNOWN, MICROS, SECOND, Cuts, day_of, first_of_id, split
from liverank.features.engine import F, Frame, Window, staged, union

IMPRESSIONS = "impressions"
RETRIEVER = "retriever"
ROW = "row"
"""Working column: the request's row in the finished table, from 0."""
ORDINAL = "ordinal"
"""Working column: place of the event among its user's, from 1, by arrival, then time, then event id."""
BACK = "back"
"""Working column: how many events back from the request, from 1."""
LATE_ROOM = 100_000
"""Arrivals beyond the wanted length that are looked through where a user has late events."""


def keys(impressions: Frame, events: Frame, label_types: Sequence[str]) -> Frame:
    """The requests that these make: request_id, user_id, timestamp, micros, surface, source, day (of arrival)."""
    shown = impressions.select(
        F.col(c.IMPRESSION_ID).alias(c.REQUEST_ID),
        c.USER_ID,
        c.TIMESTAMP,
        MICROS,
        F.coalesce(F.col(c.SURFACE), F.lit("")).alias(c.SURFACE),
        F.lit(IMPRESSIONS).alias(c.SOURCE),
        day_of(MICROS).alias(DAY),
    )
    baskets = unprompted(events, label_types).groupBy(c.REQUEST_ID, c.USER_ID, c.TIMESTAMP, MICROS)
    first = baskets.agg(F.min(KNOWN).alias(KNOWN)).withColumn(DAY, day_of(KNOWN))
    told = first.withColumn(c.SURFACE, F.lit("")).withColumn(c.SOURCE, F.lit(RETRIEVER))
    return union(shown, told.select(*shown.columns))


def unprompted(events: Frame, label_types: Sequence[str]) -> Frame:
    """Positive interactions that answer no list, with the id of the basket they belong to."""
    positive = events.where(F.col(c.TYPE).isin(*label_types) & F.col(c.IMPRESSION_ID).isNull())
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
        raise too_few()
    return Cuts(train_until, validation_from, validation_until, test_from)


def _start(times: Frame, count: int) -> int:
    latest = times.orderBy(F.col(MICROS).desc()).limit(count).agg(F.min(MICROS).alias(MICROS)).collect()[0][0]
    if latest is None:
        raise too_few()
    return int(latest)


def too_few() -> DataError:
    """What is said of data that cannot be split."""
    return DataError(
        "There are too few requests to split by time: training, validation and test each need at least one.",
        "Give more impressions or interactions of the label types (data.label_types), at different times.",
    )


def chosen(requests: Frame, cuts: Cuts, config: FeatureConfig) -> Frame:
    """The latest requests of each split up to its limit, with `split` and `row` (by time, then id).

    Of the training requests without a list at most the later half is taken, and none unless `train_lists`: their
    candidates come from a retriever that learns from the events before them.
    """
    named = staged(split(requests, cuts))
    training = named.where(F.col(c.SPLIT) == c.TRAIN)
    kept = training.where(F.col(c.SOURCE) == IMPRESSIONS)
    if config.train_lists:
        unlisted = training.where(F.col(c.SOURCE) == RETRIEVER)
        kept = union(kept, _latest(unlisted, unlisted.count() // 2))
    later = [_latest(named.where(F.col(c.SPLIT) == name), config.max_requests) for name in (c.VALIDATION, c.TEST)]
    kept = union(_latest(kept, config.max_train_requests), *later)
    row = F.row_number().over(Window.orderBy(MICROS, c.REQUEST_ID)) - 1
    return kept.withColumn(ROW, row.cast("long")).orderBy(ROW)


def _latest(requests: Frame, count: int) -> Frame:
    return requests.orderBy(F.col(MICROS).desc(), F.col(c.REQUEST_ID).desc()).limit(count)


def known_before(requests: Frame, events: Frame, length: int) -> Frame:
    """The last `length` events that each request could know: row, item_id, type, micros, and back, from 1 for the last.

    They are the latest by when they happened, of what had arrived strictly before the request. With n late events
    among them these are in the last `length` + n arrivals: whatever arrives after one of them is late, or happened
    after it. Beyond `LATE_ROOM` late events of one user it is no longer looked so far back.

    Args:
        requests: user_id, micros, row.
        events: event_id, user_id, item_id, type, micros, known.
        length: most events of a request.
    """
    users = requests.select(c.USER_ID).distinct()
    log = events.select(c.USER_ID, MICROS, KNOWN, c.EVENT_ID, c.ITEM_ID, c.TYPE).join(users, c.USER_ID, "leftsemi")
    by_arrival = Window.partitionBy(c.USER_ID).orderBy(KNOWN, MICROS, c.EVENT_ID)
    log = staged(log.withColumn(ORDINAL, F.row_number().over(by_arrival).cast("long")))
    asked = _arrived_before(requests, log).where(F.col("earlier") > 0)
    room = F.lit(length - 1) + F.least(F.col("disordered"), F.lit(LATE_ROOM))
    first = F.greatest(F.col("earlier") - room, F.lit(1))
    places = asked.select(ROW, c.USER_ID, F.explode(F.sequence(first, F.col("earlier"))).alias(ORDINAL))
    found = staged(places.join(log, on=[c.USER_ID, ORDINAL], how="inner"))
    latest = Window.partitionBy(ROW).orderBy(F.col(MICROS).desc(), F.col(KNOWN).desc(), F.col(c.EVENT_ID).desc())
    numbered = found.select(ROW, c.ITEM_ID, c.TYPE, MICROS, F.row_number().over(latest).alias(BACK))
    return staged(numbered).where(F.col(BACK) <= length)


def histories(known: Frame, length: int) -> Frame:
    """The last `length` of `known_before`, sorted by row, then time: row, item_id, type, micros."""
    latest = known.where(F.col(BACK) <= length).orderBy(F.col(ROW), F.col(BACK).desc())
    return latest.select(ROW, c.ITEM_ID, c.TYPE, MICROS)


def _arrived_before(requests: Frame, log: Frame) -> Frame:
    """Requests with `earlier`, their user's events that had arrived, and `disordered`, how many of those late."""
    nothing = F.lit(-1).cast("long")
    late = (F.col(KNOWN) > F.col(MICROS)).cast("int").alias("late")
    marks = log.select(c.USER_ID, F.col(KNOWN).alias("at"), F.lit(1).alias("event"), late, nothing.alias(ROW))
    asks = requests.select(
        c.USER_ID, F.col(MICROS).alias("at"), F.lit(0).alias("event"), F.lit(0).alias("late"), F.col(ROW)
    )
    before = Window.partitionBy(c.USER_ID).orderBy("at").rangeBetween(Window.unboundedPreceding, -1)
    counted = union(marks, asks).withColumns(
        {"earlier": F.sum("event").over(before), "disordered": F.sum("late").over(before)}
    )
    told = {name: F.coalesce(F.col(name), F.lit(0)).cast("long") for name in ("earlier", "disordered")}
    return staged(counted).where(F.col(ROW) >= 0).withColumns(told)


def truths(requests: Frame, events: Frame, label_types: Sequence[str], train_until: int) -> Frame:
    """The distinct relevant items of each request: row, item_id; sorted.

    A training request knows only the answers that had arrived when the training time ended (`train_until`, in
    microseconds): a model trained at that moment would not have had the others.
    """
    positive = events.where(F.col(c.TYPE).isin(*label_types) & F.col(c.IMPRESSION_ID).isNotNull())
    names = (c.REQUEST_ID, c.ITEM_ID, KNOWN, c.SOURCE)
    answers = positive.withColumns({c.REQUEST_ID: F.col(c.IMPRESSION_ID), c.SOURCE: F.lit(IMPRESSIONS)}).select(*names)
    baskets = unprompted(events, label_types).withColumn(c.SOURCE, F.lit(RETRIEVER)).select(*names)
    both = staged(union(answers, baskets))
    return (
        requests.select(ROW, c.REQUEST_ID, c.SOURCE, c.SPLIT)
        .join(both, on=[c.REQUEST_ID, c.SOURCE])
        .where((F.col(c.SPLIT) != c.TRAIN) | (F.col(KNOWN) < train_until))
        .select(ROW, c.ITEM_ID)
        .distinct()
        .orderBy(ROW, c.ITEM_ID)
    )


def basket_contexts(requests: Frame, interactions: Frame, label_types: Sequence[str]) -> Frame:
    """The context of each basket's first event: row, context; sorted by row.

    Args:
        requests: the chosen ones.
        interactions: as they came in, with `micros`.
        label_types: types that make a basket.
    """
    asked = requests.where(F.col(c.SOURCE) == F.lit(RETRIEVER)).select(ROW, c.REQUEST_ID)
    told = unprompted(interactions, label_types).join(asked, on=c.REQUEST_ID)
    return first_of_id(told, ROW, c.EVENT_ID, c.ITEM_ID, c.TYPE).orderBy(ROW).select(ROW, c.CONTEXT)


def shown_lists(requests: Frame, impressions: Frame) -> Frame:
    """The shown list and context of each request that has one: row, shown, context; sorted by row.

    Args:
        requests: the chosen ones.
        impressions: as they came in, with `micros`.
    """
    asked = requests.where(F.col(c.SOURCE) == F.lit(IMPRESSIONS)).select(ROW, c.REQUEST_ID)
    lists = impressions.select(F.col(c.IMPRESSION_ID).alias(c.REQUEST_ID), c.SHOWN, c.CONTEXT, MICROS, c.USER_ID).join(
        asked, on=c.REQUEST_ID
    )
    return first_of_id(lists, ROW, MICROS, c.USER_ID).orderBy(ROW).select(ROW, c.SHOWN, c.CONTEXT)
