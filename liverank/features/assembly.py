"""The requests table out of long columns: one row a request, lists nested; a few thousand rows, held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.features.definitions import MICROS, SECOND
from liverank.features.requests import ROW

_STRINGS: Final = pa.list_(pa.string())
REQUEST_SCHEMA: Final = pa.schema(
    [
        pa.field(c.REQUEST_ID, pa.string(), nullable=False),
        pa.field(c.USER_ID, pa.string(), nullable=False),
        pa.field(c.TIMESTAMP, pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field(c.SURFACE, pa.string()),
        pa.field(c.CONTEXT, pa.map_(pa.string(), pa.string())),
        pa.field(c.SPLIT, pa.string(), nullable=False),
        pa.field(c.SOURCE, pa.string(), nullable=False),
        pa.field(c.HISTORY_ITEMS, _STRINGS),
        pa.field(c.HISTORY_TYPES, _STRINGS),
        pa.field(c.HISTORY_TIMES, pa.list_(pa.float64())),
        pa.field(c.CANDIDATES, _STRINGS),
        pa.field(c.CANDIDATE_SCORES, pa.list_(pa.float32())),
        pa.field(c.LABELS, pa.list_(pa.float32())),
        pa.field(c.TRUTH, _STRINGS),
    ]
)
"""`requests.parquet`: one row a request, sorted by time and id."""


def nested(long: pa.Table, values: pa.ChunkedArray, rows: int) -> pa.ListArray:
    """Groups `values` into one list a request by the sorted `row` column of `long`; `[rows]` lists, empty ones too."""
    counts = np.bincount(long[ROW].to_numpy(), minlength=rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    flat = values.combine_chunks()
    flat = flat.combine_chunks() if isinstance(flat, pa.ChunkedArray) else flat
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def history_columns(long: pa.Table, rows: int) -> dict[str, pa.ListArray]:
    """The three history columns from the sorted long table of `requests.histories`."""
    # Before 1684 a microsecond is finer than a double can say: the nearest one is meant.
    seconds = pc.divide(long[MICROS].cast(pa.float64(), safe=False), float(SECOND))
    return {
        c.HISTORY_ITEMS: nested(long, long[c.ITEM_ID], rows),
        c.HISTORY_TYPES: nested(long, long[c.TYPE], rows),
        c.HISTORY_TIMES: nested(long, seconds, rows),
    }


def candidate_list(shown: Sequence[dict[str, Any]]) -> tuple[list[str], list[float] | None]:
    """Item ids in the proposer's order, each once, and its scores; None unless every one has a score.

    A ranker is asked with the list as it came in, so it must learn from that: where the lines say how they came in,
    their shown positions and scores are the answer of another ranker, and the scores are never used. Where not every
    line has an incoming position, the order is the shown one. Lists that say nothing of it, as logs of other systems
    do, are taken to be shown as they were proposed.
    """
    lines = [line for line in shown if line[c.ITEM_ID]]
    incoming = [(line.get(c.INCOMING_POSITION), line.get(c.INCOMING_SCORE)) for line in lines]
    order = c.POSITION if any(position is None for position, _ in incoming) else c.INCOMING_POSITION
    score = c.SCORE if all(pair == (None, None) for pair in incoming) else c.INCOMING_SCORE
    first: dict[str, float | None] = {}
    for line in sorted(lines, key=lambda line: (line[order] is None, line[order])):
        first.setdefault(line[c.ITEM_ID], line.get(score))
    scores = [score for score in first.values() if score is not None]
    return list(first), scores if first and len(scores) == len(first) else None


def request_table(base: pa.Table, history: pa.Table, truth: pa.Table, shown: pa.Table, baskets: pa.Table) -> pa.Table:
    """Puts the collected frames of `requests` together; requests without a shown list have no candidates yet.

    Args:
        base: the chosen requests, sorted by row.
        history: `requests.histories`.
        truth: `requests.truths`.
        shown: `requests.shown_lists`.
        baskets: `requests.basket_contexts`.

    Returns:
        A table in `REQUEST_SCHEMA` whose labels are not filled in.
    """
    rows = base.num_rows
    lists = {line[ROW]: candidate_list(line[c.SHOWN] or ()) for line in shown.to_pylist()}
    contexts = {line[ROW]: line[c.CONTEXT] for part in (shown, baskets) for line in part.to_pylist()}
    columns = {name: base[name] for name in (c.REQUEST_ID, c.USER_ID, c.TIMESTAMP, c.SURFACE, c.SPLIT, c.SOURCE)}
    columns[c.CONTEXT] = pa.array(
        [_pairs(contexts.get(row)) for row in range(rows)], REQUEST_SCHEMA.field(c.CONTEXT).type
    )
    columns |= history_columns(history, rows)
    columns[c.CANDIDATES] = pa.array([lists.get(row, ([], None))[0] for row in range(rows)], _STRINGS)
    columns[c.CANDIDATE_SCORES] = pa.array(
        [lists.get(row, ([], None))[1] for row in range(rows)], pa.list_(pa.float32())
    )
    columns[c.LABELS] = pa.nulls(rows, pa.list_(pa.float32()))
    columns[c.TRUTH] = nested(truth, truth[c.ITEM_ID], rows)
    return pa.table({name: columns[name] for name in REQUEST_SCHEMA.names}).cast(REQUEST_SCHEMA)


def labelled(table: pa.Table, candidates: Sequence[Sequence[str]]) -> pa.Table:
    """The table with these candidates, one list a row, and with labels: 1.0 where the candidate is relevant."""
    truths = table[c.TRUTH].to_pylist()
    labels = [
        [float(item in relevant) for item in proposed]
        for proposed, relevant in zip(candidates, map(set, truths), strict=True)
    ]
    return _replaced(_replaced(table, c.CANDIDATES, candidates), c.LABELS, labels)


def _replaced(table: pa.Table, name: str, values: Sequence[Any]) -> pa.Table:
    field = REQUEST_SCHEMA.field(name)
    return table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))


def _pairs(context: Any) -> list[tuple[str, str]]:
    pairs = context.items() if isinstance(context, dict) else context or ()
    return sorted((str(key), "" if value is None else str(value)) for key, value in pairs)
