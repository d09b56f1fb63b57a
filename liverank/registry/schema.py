"""What the pyfunc model takes and gives: one row a request.

| column | type | |
|---|---|---|
| user_id | string, optional | |
| history_item_ids | array of string, optional | the user's events, oldest first |
| history_types | array of string, optional | one a history item; without them every event is a `click` |
| history_timestamps | array of double, optional | seconds since 1970-01-01 UTC, one a history item |
| candidate_item_ids | array of string | what to rank; ids are distinct |
| candidate_scores | array of double, optional | the proposer's scores, one a candidate |
| timestamp | double, optional | time of the request in seconds since 1970-01-01 UTC; default: the last event's |
| surface | string, optional | |

Out: `ranking` (array of string, best first; equal scores keep the incoming order) and `scores` (array of double, one a
place of `ranking`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from liverank import columns as c
from liverank.errors import DataError
from liverank.ranking.protocol import Candidates, Context, History, Request

RANKING = "ranking"
SCORES = "scores"
DEFAULT_TYPE = "click"


def signature() -> Any:
    """The MLflow model signature of the table above."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    strings, doubles = Array(DataType.string), Array(DataType.double)
    inputs = [
        ColSpec(DataType.string, c.USER_ID, required=False),
        ColSpec(strings, c.HISTORY_ITEMS, required=False),
        ColSpec(strings, c.HISTORY_TYPES, required=False),
        ColSpec(doubles, c.HISTORY_TIMES, required=False),
        ColSpec(strings, c.CANDIDATES),
        ColSpec(doubles, c.CANDIDATE_SCORES, required=False),
        ColSpec(DataType.double, c.TIMESTAMP, required=False),
        ColSpec(DataType.string, c.SURFACE, required=False),
    ]
    return ModelSignature(Schema(inputs), Schema([ColSpec(strings, RANKING), ColSpec(doubles, SCORES)]))


def example(bundle: str) -> Any:
    """A one-row input made of the bundle's own first items."""
    import pandas as pd

    names = json.loads((Path(bundle) / "catalogue" / "settings.json").read_text(encoding="utf-8"))
    ids = list(names["item_ids"])
    return pd.DataFrame(
        {
            c.USER_ID: ["a-user"],
            c.HISTORY_ITEMS: [ids[:1]],
            c.HISTORY_TYPES: [[DEFAULT_TYPE] * len(ids[:1])],
            c.HISTORY_TIMES: [[0.0] * len(ids[:1])],
            c.CANDIDATES: [ids[:5]],
        }
    )


def request(row: Mapping[str, Any]) -> Request:
    """One input row as a ranking request.

    Raises:
        DataError: there are no candidates, one stands twice, or a sequence has not one entry for each item.
    """
    candidates = _sequence(row, c.CANDIDATES)
    if not candidates or len(set(candidates)) < len(candidates):
        raise DataError(f"'{c.CANDIDATES}' must hold at least one id, and none twice.")
    items = _sequence(row, c.HISTORY_ITEMS)
    types = _sequence(row, c.HISTORY_TYPES) or [DEFAULT_TYPE] * len(items)
    times = _sequence(row, c.HISTORY_TIMES) or [0.0] * len(items)
    given = _sequence(row, c.CANDIDATE_SCORES)
    for name, values, wanted in (
        (c.HISTORY_TYPES, types, items),
        (c.HISTORY_TIMES, times, items),
        (c.CANDIDATE_SCORES, given or candidates, candidates),
    ):
        if len(values) != len(wanted):
            raise DataError(f"'{name}' has {len(values)} entries for {len(wanted)} items.")
    at = _scalar(row, c.TIMESTAMP)
    return Request(
        History(items, types, [float(time) for time in times]),
        Candidates(candidates, scores=np.asarray(given, np.float32) if given else None),
        Context(float(at if at is not None else max(times, default=0.0)), _scalar(row, c.SURFACE) or ""),
        _scalar(row, c.USER_ID) or "",
    )


def _sequence(row: Mapping[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    if isinstance(value, list | tuple | np.ndarray):
        return list(value)
    if value is None or value != value:
        return []
    raise DataError(f"'{name}' must be a list, not {type(value).__name__}.")


def _scalar(row: Mapping[str, Any], name: str) -> Any:
    value = row.get(name)
    return None if value is None or value != value else value
