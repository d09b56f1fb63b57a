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
from liverank.ranking.data import load_catalogue, training_events
from liverank.ranking.protocol import Candidates, Context, History, Request


def retrieved(table: pa.Table, features: Path, train_until: float, candidates: int, config: CountConfig) -> pa.Table:
    """Fills the missing candidate lists, then every label; the truth is not forced into a list.

    Validation and test get their candidates from a retriever fitted on all training events, training requests from one
    fitted on the events before the first of them.

    Args:
        table: `assembly.request_table`.
        features: the folder that already holds items and events.
        train_until: end of the training time, seconds since 1970.
        candidates: length of a list.
        config: settings of the count ranker.
    """
    lists = table[c.CANDIDATES].to_pylist()
    asked = np.asarray([source == RETRIEVER for source in table[c.SOURCE].to_pylist()], bool)
    training = np.asarray([split == c.TRAIN for split in table[c.SPLIT].to_pylist()], bool)
    if asked.any():
        catalogue = load_catalogue(features)
        events = training_events(features, catalogue, train_until)
        for rows in map(np.flatnonzero, (asked & training, asked & ~training)):
            if not len(rows):
                continue
            part = table.take(rows)
            before = events.where(events.timestamp < _seconds(part).min())
            ranker = CountRanker.fit(catalogue, before, config)
            for row, proposed in zip(rows, ranker.retrieve(_requests(part), candidates), strict=True):
                lists[row] = proposed
    return labelled(table, lists)


def _seconds(table: pa.Table) -> npt.NDArray[np.float64]:
    return table[c.TIMESTAMP].cast(pa.int64()).to_numpy() / 1e6


def _requests(table: pa.Table) -> list[Request]:
    return [
        Request(
            History(row[c.HISTORY_ITEMS], row[c.HISTORY_TYPES], row[c.HISTORY_TIMES]),
            Candidates(()),
            Context(row[c.TIMESTAMP].timestamp(), row[c.SURFACE], dict(row[c.CONTEXT])),
            row[c.USER_ID],
        )
        for row in table.to_pylist()
    ]
