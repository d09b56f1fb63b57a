"""The part of the features step that writes `negatives.parquet`: drawn items for each training request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.config.candidates import CandidateConfig
from liverank.features.definitions import MICROS, SECOND
from liverank.features.engine import Engine, F, Frame
from liverank.features.negatives import (
    HARD,
    POPULAR,
    Negatives,
    drawing_probabilities,
    hard_negatives,
    nearest,
    popular_negatives,
)
from liverank.features.requests import ROW
from liverank.features.snapshot import Neighbours
from liverank.ranking.catalogue import Catalogue

NEGATIVES_FILE: Final = "negatives.parquet"


def liked_after(requests: Frame, liked: Frame, hours: float) -> Frame:
    """row and item_id: what each request's user liked from the request on, for so many hours.

    Args:
        requests: row, user_id, micros.
        liked: positive events with user_id, item_id, micros.
        hours: the label window.
    """
    asked = requests.select(ROW, F.col(c.USER_ID).alias("asking"), F.col(MICROS).alias("asked_at"))
    end = F.col("asked_at") + F.lit(round(hours * 3600 * SECOND))
    within = (F.col(MICROS) >= F.col("asked_at")) & (F.col(MICROS) <= end)
    met = asked.join(liked, on=(F.col("asking") == F.col(c.USER_ID)) & within, how="inner")
    return met.select(ROW, c.ITEM_ID).distinct()


def write_negatives(
    engine: Engine,
    requests: Frame,
    liked: Frame,
    out: Path,
    catalogue: Catalogue,
    near: Neighbours,
    config: CandidateConfig,
) -> None:
    """Writes row, item_id, kind and log_q of the negatives of each training request of `out/requests.parquet`.

    Args:
        engine: the open one.
        requests: row, user_id, micros, split.
        liked: positive events with user_id, item_id, micros.
        out: the features folder.
        catalogue: its items.
        near: what goes with each item.
        config: how many, and how they are drawn.
    """
    training = requests.where(F.col(c.SPLIT) == F.lit(c.TRAIN))
    found = engine.arrow(liked_after(training, liked, config.label_window_hours))
    table = pq.read_table(out / "requests.parquet", columns=[c.SPLIT, c.TRUTH, c.HISTORY_ITEMS])
    rows = np.flatnonzero(table[c.SPLIT].to_numpy(zero_copy_only=False) == c.TRAIN)
    table = table.take(pa.array(rows))
    positives = _positives(found, rows, table[c.TRUTH].to_pylist(), catalogue)
    values = near.values[:, :, 0] if near.rows.size else np.zeros(near.rows.shape, np.int32)
    pools = [nearest(near.rows, values, catalogue.rows(past)) for past in table[c.HISTORY_ITEMS].to_pylist()]
    probability = drawing_probabilities(catalogue.train_events, config.popularity_power)
    drawn = {
        POPULAR: popular_negatives(rows, positives, probability, config.popular_negatives, config.seed),
        HARD: hard_negatives(rows, positives, pools, config.hard_negatives, config.seed),
    }
    parts = [_table(kind, some, rows, catalogue.item_ids) for kind, some in drawn.items()]
    pq.write_table(pa.concat_tables(parts), out / NEGATIVES_FILE, compression="zstd")


def _positives(
    found: pa.Table, rows: npt.NDArray[np.int64], truths: Sequence[Sequence[str]], catalogue: Catalogue
) -> list[set[int]]:
    """Catalogue rows that each request's user wanted: what they answered, and what they liked soon after."""
    wanted: Mapping[int, set[int]] = {row: set() for row in rows.tolist()}
    pairs: list[tuple[int, Any]] = list(zip(rows.tolist(), truths, strict=True))
    pairs += [(row, (item,)) for row, item in zip(found[ROW].to_pylist(), found[c.ITEM_ID].to_pylist(), strict=True)]
    for row, items in pairs:
        wanted[row].update(at for at in catalogue.rows(items).tolist() if at >= 0)
    return list(wanted.values())


def _table(kind: str, drawn: Negatives, rows: npt.NDArray[np.int64], item_ids: Sequence[str]) -> pa.Table:
    return pa.table(
        {
            c.REQUEST_ROW: pa.array(rows[drawn.request], pa.int64()),
            c.ITEM_ID: pa.array([item_ids[item] for item in drawn.item.tolist()], pa.string()),
            c.NEGATIVE_KIND: pa.array([kind] * len(drawn.item), pa.string()),
            c.LOG_Q: pa.array(drawn.log_q, pa.float64()),
        }
    )
