"""The per-request tables that evaluation leaves: metrics of every ranker, and the reference for monitoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.evaluation.lists import Lists
from liverank.evaluation.measure import Measured
from liverank.evaluation.request_table import RankedRequest, request_table
from liverank.ranking.data import Catalogue, LabelledRequest
from liverank.ranking.protocol import Scores, ranking

PER_REQUEST_FILE = "per_request.parquet"
REFERENCE_FILE = "reference.parquet"


def write_per_request(out: Path, requests: Sequence[LabelledRequest], measured: Mapping[str, Measured]) -> Path:
    """One row a request, one column `ranker/metric` each; null where a metric is undefined."""
    columns = {c.REQUEST_ID: pa.array([labelled.request_id for labelled in requests], pa.string())}
    for name, of in measured.items():
        for metric, values in of.per_request.items():
            columns[f"{name}/{metric}"] = pa.array(values, pa.float64(), from_pandas=True)
    path = out / PER_REQUEST_FILE
    pq.write_table(pa.table(columns), path)
    return path


def write_reference(
    out: Path,
    requests: Sequence[LabelledRequest],
    scores: Sequence[Scores],
    lists: Lists,
    catalogue: Catalogue,
    k: int,
) -> Path:
    """What monitoring compares live windows with: the requests as the model would have ranked them."""
    truths = np.sum(lists.ideal > 0, axis=1)
    ranked = [
        _ranked(labelled, given, int(total)) for labelled, given, total in zip(requests, scores, truths, strict=True)
    ]
    path = out / REFERENCE_FILE
    pq.write_table(request_table(ranked, catalogue, k), path)
    return path


def _ranked(labelled: LabelledRequest, scores: Scores, truths: int) -> RankedRequest:
    request, order = labelled.request, ranking(scores)
    return RankedRequest(
        request_id=labelled.request_id,
        timestamp=request.context.timestamp,
        surface=request.context.surface,
        item_ids=[request.candidates.item_ids[row] for row in order],
        scores=scores[order],
        labels=labelled.labels[order],
        history_times=request.history.timestamps,
        user_id=request.user_id,
        truths=truths,
        source=labelled.source,
    )
