"""Candidates for requests whose shown list is not known, from the count ranker, which sees only earlier events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from liverank import columns as c
from liverank.config.training import CountConfig
from liverank.features.assembly import labelled
from liverank.features.requests import RETRIEVER
from liverank.ranking.count import CountRanker
from liverank.ranking.data import load_catalogue, load_events
from liverank.ranking.protocol import Candidates, Context, History, Request


def retrieved(table: pa.Table, features: Path, candidates: int, config: CountConfig) -> pa.Table:
    """Fills the missing candidate lists, then every label; the truth is not forced into a list.

    Validation and test get their candidates from a retriever fitted on all training events, training requests from one
    fitted on the events before the first of them.

    Args:
        table: `assembly.request_table`.
        features: the folder that already holds items and events.
        candidates: length of a list.
        config: settings of the count ranker.
    """
    lists = table[c.CANDIDATES].to_pylist()
    asked = np.asarray([source == RETRIEVER for source in table[c.SOURCE].to_pylist()], bool)
    training = np.asarray([split == c.TRAIN for split in table[c.SPLIT].to_pylist()], bool)
    for part in (asked & training, asked & ~training):
        rows = np.flatnonzero(part)
        if len(rows):
            for row, found in zip(rows, _proposals(table.take(rows), features, candidates, config), strict=True):
                lists[row] = found
    return labelled(table, lists)


def _proposals(table: pa.Table, features: Path, candidates: int, config: CountConfig) -> list[list[str]]:
    catalogue = load_catalogue(features)
    events = load_events(features, catalogue)
    asked = _seconds(table)
    ranker = CountRanker.fit(catalogue, events.where(events.timestamp < asked.min()), config)
    return ranker.retrieve([_request(row) for row in table.to_pylist()], candidates)


def _seconds(table: pa.Table) -> npt.NDArray[np.float64]:
    return table[c.TIMESTAMP].cast(pa.int64()).to_numpy() / 1e6


def _request(row: dict[str, object]) -> Request:
    history = History(row[c.HISTORY_ITEMS], row[c.HISTORY_TYPES], row[c.HISTORY_TIMES])  # type: ignore[arg-type]
    context = Context(row[c.TIMESTAMP].timestamp(), str(row[c.SURFACE] or ""), dict(row[c.CONTEXT] or ()))  # type: ignore[attr-defined, call-overload]
    return Request(history, Candidates(()), context, str(row[c.USER_ID]))
