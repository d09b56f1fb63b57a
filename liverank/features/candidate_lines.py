"""The requests of a features folder as long tables: what the frames of `candidates` start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.features.definitions import MICROS, SECOND
from liverank.features.requests import ROW

DEVICE: Final = "device"
SCALING_REQUESTS: Final = 500
"""Training requests, evenly spread, whose candidates teach the scaling where the whole table is not asked for."""


@dataclass(frozen=True)
class Lines:
    """Requests, their candidates and their histories; `row` is the request's row in `requests.parquet`."""

    requests: pa.Table
    """row, user_id, micros, surface, device, split."""
    candidates: pa.Table
    """row, place, item_id, score (null without), label."""
    history: pa.Table
    """row, item_id, micros."""


def read_lines(path: Path, device_key: str, everything: bool) -> Lines:
    """The requests of `requests.parquet`.

    Args:
        path: the file.
        device_key: key of the context that names the device.
        everything: all requests; else those of the validation and a part of the training ones, which is what training
            reads.
    """
    split = pq.read_table(path, columns=[c.SPLIT])[c.SPLIT].to_numpy(zero_copy_only=False)
    rows = np.arange(len(split)) if everything else _read_by_training(split)
    names = [c.USER_ID, c.TIMESTAMP, c.SURFACE, c.CONTEXT, c.SPLIT, c.CANDIDATES, c.CANDIDATE_SCORES, c.LABELS]
    table = pq.read_table(path, columns=[*names, c.HISTORY_ITEMS, c.HISTORY_TIMES]).take(pa.array(rows))
    devices = [dict(pairs or ()).get(device_key, "") for pairs in table[c.CONTEXT].to_pylist()]
    requests = {
        ROW: rows,
        c.USER_ID: table[c.USER_ID],
        MICROS: table[c.TIMESTAMP].cast(pa.int64()),
        c.SURFACE: table[c.SURFACE].fill_null(""),
        DEVICE: pa.array(devices, pa.string()),
        c.SPLIT: table[c.SPLIT],
    }
    return Lines(pa.table(requests), _candidates(table, rows), _history(table, rows))


def _read_by_training(split: Any) -> npt.NDArray[np.int64]:
    training, judged = np.flatnonzero(split == c.TRAIN), np.flatnonzero(split == c.VALIDATION)
    return np.sort(np.concatenate([training[:: max(1, len(training) // SCALING_REQUESTS)], judged]))


def _candidates(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    sizes = _sizes(table[c.CANDIDATES])
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    scored = np.repeat(~table[c.CANDIDATE_SCORES].is_null().to_numpy(), sizes)
    scores = np.zeros(len(starts))
    scores[scored] = pc.list_flatten(table[c.CANDIDATE_SCORES]).to_numpy()
    return pa.table(
        {
            ROW: np.repeat(rows, sizes),
            c.PLACE: np.arange(len(starts)) - starts,
            c.ITEM_ID: pc.list_flatten(table[c.CANDIDATES]),
            c.SCORE: pa.array(scores, mask=~scored),
            c.LABEL: pc.list_flatten(table[c.LABELS]),
        }
    )


def _history(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    seconds = pc.list_flatten(table[c.HISTORY_TIMES]).to_numpy()
    return pa.table(
        {
            ROW: np.repeat(rows, _sizes(table[c.HISTORY_ITEMS])),
            c.ITEM_ID: pc.list_flatten(table[c.HISTORY_ITEMS]),
            MICROS: np.rint(seconds * SECOND).astype(np.int64),
        }
    )


def _sizes(lists: Any) -> npt.NDArray[np.int64]:
    return pc.list_value_length(lists).fill_null(0).to_numpy().astype(np.int64)
