"""What a user's known events say as of each request: shares of categories, price bands and hours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from liverank import columns as c
from liverank.config.features import FeatureConfig
from liverank.features.assembly import nested
from liverank.features.definitions import DAY_MICROS, MICROS, SECOND, remainder
from liverank.features.engine import Engine, F, Frame, Window, staged
from liverank.features.requests import BACK, ROW

EVENTS, CATEGORIES, SHARES, BANDS, HOURS = "events", "categories", "category_shares", "price_band_shares", "hour_shares"
_BAND, _COUNT = "band", "count"


def item_bands(items: pa.Table, attribute: str, bands: int) -> pa.Table:
    """Each item's category and price band: item_id, category, band (from 0; -1 without a price that is a number).

    The bands' edges are quantiles of the items' prices.
    """
    prices = np.asarray([_number(dict(pairs or ()).get(attribute)) for pairs in items[c.ATTRIBUTES].to_pylist()], float)
    priced = prices[~np.isnan(prices)]
    edges = np.quantile(priced, np.arange(1, bands) / bands) if len(priced) else np.zeros(0)
    band = np.where(np.isnan(prices), -1, np.searchsorted(edges, prices, side="right")).astype(np.int32)
    category = items[c.CATEGORY].fill_null("")
    return pa.table({c.ITEM_ID: items[c.ITEM_ID], c.CATEGORY: category, _BAND: band})


def _number(text: str | None) -> float:
    try:
        value = float(text or "nan")
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def profiles(engine: Engine, known: Frame, ids: pa.ChunkedArray, items: pa.Table, config: FeatureConfig) -> pa.Table:
    """One row a request, in the order of `ids`: what the user's last `profile_events` known events were.

    Columns: request_id; events (how many); categories, the most frequent first, and their category_shares;
    price_band_shares (lowest first; of the events whose item has a price); hour_shares (24, UTC). Shares of nothing
    are 0.

    Args:
        engine: the open engine.
        known: `requests.known_before`, of at least `profile_events` events.
        ids: of all requests, by row.
        items: the catalogue.
        config: how many events, categories and bands.
    """
    bands = engine.rows(item_bands(items, config.price_attribute, config.price_bands))
    told = staged(known.where(F.col(BACK) <= config.profile_events).join(bands, on=c.ITEM_ID))
    rows = len(ids)
    hour = ((remainder(F.col(MICROS), DAY_MICROS) - remainder(F.col(MICROS), 3600 * SECOND)) / (3600 * SECOND)).cast(
        "int"
    )
    hours = _dense(engine.arrow(_counts(told.select(ROW, hour.alias("hour")), "hour")), "hour", rows, 24)
    prices = _dense(engine.arrow(_counts(told.where(F.col(_BAND) >= 0), _BAND)), _BAND, rows, config.price_bands)
    frequent = Window.partitionBy(ROW).orderBy(F.col(_COUNT).desc(), c.CATEGORY)
    ranked = staged(_counts(told, c.CATEGORY)).withColumn("place", F.row_number().over(frequent))
    best = engine.arrow(ranked.where(F.col("place") <= config.profile_categories).orderBy(ROW, "place"))
    events_of = hours.sum(axis=1)
    shares = best[_COUNT].to_numpy() / events_of[best[ROW].to_numpy()]
    return pa.table(
        {
            c.REQUEST_ID: ids,
            EVENTS: events_of.astype(np.int64),
            CATEGORIES: nested(best, best[c.CATEGORY], rows),
            SHARES: nested(best, pa.chunked_array([pa.array(shares)]), rows),
            BANDS: _lists(prices),
            HOURS: _lists(hours),
        }
    )


def _counts(told: Frame, key: str) -> Frame:
    return told.groupBy(ROW, key).agg(F.count("*").cast("long").alias(_COUNT))


def _dense(counts: pa.Table, key: str, rows: int, width: int) -> npt.NDArray[np.float64]:
    """Long counts as `[rows, width]`."""
    dense = np.zeros((rows, width))
    dense[counts[ROW].to_numpy(), counts[key].to_numpy()] = counts[_COUNT].to_numpy()
    return dense


def _lists(counts: npt.NDArray[np.float64]) -> pa.Array:
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    offsets = np.arange(len(counts) + 1, dtype=np.int32) * counts.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(shares.ravel()))
