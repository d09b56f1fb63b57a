"""The small tables that the training part teaches about items, in the rows of the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from liverank import columns as c
from liverank.features.definitions import DAY_MICROS, MICROS, SECOND, remainder
from liverank.features.engine import F, Frame
from liverank.features.similarity import NEIGHBOUR
from liverank.features.snapshot import NEVER, PER_UNIT, Neighbours, price_of

AFFINITY_SMOOTHING = 50.0
"""Imagined events of a category that are spread over the day as all events are."""


def categories_of(items: pa.Table) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """The category names, sorted, and each item's number among them, -1 for none."""
    named = items[c.CATEGORY].fill_null("").to_pylist()
    names = tuple(sorted(set(named) - {""}))
    numbers = {name: at for at, name in enumerate(names)}
    return names, np.asarray([numbers.get(name, -1) for name in named], np.int32)


def prices_of(items: pa.Table, attribute: str) -> npt.NDArray[np.float64]:
    """The price of each item, NaN without."""
    prices = (price_of(dict(pairs or ()), attribute) for pairs in items[c.ATTRIBUTES].to_pylist())
    return np.asarray([np.nan if price is None else price for price in prices], np.float64)


def first_events(training: Frame) -> Frame:
    """item_id and micros: the first training event of each item."""
    return training.groupBy(c.ITEM_ID).agg(F.min(MICROS).alias(MICROS))


def born_of(items: pa.Table, first: pa.Table, index: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Microseconds from which each item could be had: as its record says, else its first event, or `NEVER`.

    Args:
        items: the catalogue's table.
        first: `first_events`.
        index: item id -> row.
    """
    born = np.full(items.num_rows, NEVER, np.int64)
    for item_id, at in zip(first[c.ITEM_ID].to_pylist(), first[MICROS].to_pylist(), strict=True):
        if item_id in index:
            born[index[item_id]] = at
    said = items[c.AVAILABLE_FROM].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    known = ~said.is_null().to_numpy()
    born[known] = said.drop_null().to_numpy()
    return born


def events_by_hour(training: Frame) -> Frame:
    """item_id, hour of the UTC day, and the item's training events in it."""
    hour = F.floor(remainder(F.col(MICROS), DAY_MICROS) / F.lit(3600 * SECOND)).cast("int")
    return training.groupBy(c.ITEM_ID, hour.alias(c.HOUR)).agg(F.count("*").cast("long").alias("events"))


def affinities_by_hour(
    table: pa.Table, index: Mapping[str, int], category: npt.NDArray[np.int32], categories: int
) -> npt.NDArray[np.int32]:
    """log(share of the hour among the category's events / among all), smoothed, in millionths, `[categories, 24]`."""
    rows = np.asarray([index.get(item_id, -1) for item_id in table[c.ITEM_ID].to_pylist()], np.int64)
    hours, events = table[c.HOUR].to_numpy(), table["events"].to_numpy()
    counts, total = np.zeros((categories, 24)), np.bincount(hours, events, 24) if len(hours) else np.zeros(24)
    number = np.where(rows >= 0, category[np.maximum(rows, 0)], -1) if len(rows) else rows
    np.add.at(counts, (number[number >= 0], hours[number >= 0]), events[number >= 0])
    at_large = (total + 1) / (total + 1).sum()
    share = (counts + AFFINITY_SMOOTHING * at_large) / (counts.sum(axis=1, keepdims=True) + AFFINITY_SMOOTHING)
    return np.rint(np.log(share / at_large) * PER_UNIT).astype(np.int32)


def neighbours_of(table: pa.Table, measures: Sequence[str], index: Mapping[str, int], most: int) -> Neighbours:
    """The frame of `similarity` as padded arrays; only as wide as the longest list.

    Args:
        table: item_id, neighbour, place (from 1) and the measures.
        measures: columns in order.
        index: item id -> row.
        most: longest list that is possible.
    """

    def rows(name: str) -> npt.NDArray[np.int64]:
        return np.asarray([index[item_id] for item_id in table[name].to_pylist()], np.int64)

    places = table["place"].to_numpy().astype(np.int64) - 1
    width = min(most, int(places.max(initial=0)) + 1) if len(places) else 0
    found = np.full((len(index), width), -1, np.int32)
    values = np.zeros((len(index), width, len(measures)), np.int32)
    if len(places):
        item = rows(c.ITEM_ID)
        found[item, places] = rows(NEIGHBOUR)
        values[item, places] = np.stack([table[name].to_numpy() for name in measures], axis=1)
    return Neighbours(found, values)


def frequent(values: Any, most: int) -> tuple[str, ...]:
    """The most frequent non-empty values, most frequent first, ties by name."""
    counts = Counter(value for value in values.to_pylist() if value)
    return tuple(sorted(counts, key=lambda name: (-counts[name], name))[:most])
