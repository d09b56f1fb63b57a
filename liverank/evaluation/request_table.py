"""One row a request with plain columns: what monitoring compares between the test requests and a live window.

Evaluation writes it for the champion's test requests (`reference.parquet`), monitoring builds it for each live window;
both go through `request_table`, so that a difference between the two is a difference in the traffic or the model.
The table holds no user id, since it outlives the request to have a user erased: `user` only says which requests are of
the same user, for intervals that resample users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from liverank import columns as c
from liverank.evaluation.lists import PADDING, RankedLists
from liverank.evaluation.metrics import hit_rate, mrr, ndcg

SESSION_GAP_SECONDS: Final = 1800.0
"""Seconds without an event that end a session, as the features have it by default."""
UNKNOWN_DECILE: Final = 0
"""Popularity decile of an item that the model has never met."""


class CatalogueView(Protocol):
    """What the table needs of a catalogue: one entry an item in each sequence."""

    @property
    def item_ids(self) -> Sequence[str]:
        """Item ids."""
        ...

    @property
    def categories(self) -> Sequence[str]:
        """The category of each item; empty for none."""
        ...

    @property
    def train_events(self) -> npt.NDArray[Any]:
        """Training events of each item, `[items]`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedRequest:
    """A ranked list and what the user answered: `item_ids`, `scores` and `labels` are in ranked order, best first."""

    request_id: str
    timestamp: float
    """Seconds since 1970-01-01 UTC."""
    surface: str
    item_ids: Sequence[str]
    scores: Sequence[float] | npt.NDArray[Any] | None
    """None where the ranker's scores were not kept."""
    labels: Sequence[float] | npt.NDArray[Any]
    """Above zero: relevant."""
    user_id: str = ""
    """Only to tell which requests are of one user; empty: of a user of their own."""
    history_times: Sequence[float] = ()
    """Seconds since 1970-01-01 UTC of the user's events before the request, oldest first."""
    truths: int | None = None
    """Relevant items in all, also those outside the list; None: those in the list."""
    degraded: bool = False
    source: str = "impressions"


SCHEMA: Final = pa.schema(
    [
        (c.REQUEST_ID, pa.string()),
        ("user", pa.int32()),
        (c.TIMESTAMP, pa.timestamp("us", tz="UTC")),
        (c.SOURCE, pa.string()),
        (c.SURFACE, pa.string()),
        (c.HOUR, pa.int8()),
        (c.WEEKDAY, pa.int8()),
        ("n_candidates", pa.int32()),
        ("known_share", pa.float64()),
        ("history_length", pa.int32()),
        ("idle_seconds", pa.float64()),
        ("session_seconds", pa.float64()),
        ("top_score", pa.float64()),
        ("score_spread", pa.float64()),
        ("top_item_id", pa.string()),
        ("top_category", pa.string()),
        ("top_popularity_decile", pa.int8()),
        ("clicked_item_id", pa.string()),
        ("clicked_category", pa.string()),
        ("clicked_popularity_decile", pa.int8()),
        ("answered", pa.float64()),
        ("ndcg", pa.float64()),
        ("mrr", pa.float64()),
        ("hit", pa.float64()),
        (c.DEGRADED, pa.bool_()),
    ]
)
"""`ndcg`, `mrr` and `hit` are at k and null where nothing is relevant; `answered` is 1.0 where something in the list is
relevant and is never null. `idle_seconds` and `session_seconds` (since the last event, since the session's first) are
null for an empty history. Deciles run from 1 (the most popular items that make up a tenth of the training events) to
10; 0 is an item unknown to the model. `clicked_*` is the relevant item ranked highest. `score_spread` is the standard
deviation of the list's scores."""


def request_table(requests: Iterable[RankedRequest], catalogue: CatalogueView, k: int) -> pa.Table:
    """One row a request in the columns of `SCHEMA`.

    Args:
        requests: ranked lists, in any order.
        catalogue: the items as the ranker knows them.
        k: cut-off of the ranking metrics.
    """
    ranked = list(requests)
    deciles = popularity_deciles(catalogue.item_ids, np.asarray(catalogue.train_events))
    categories = dict(zip(catalogue.item_ids, catalogue.categories, strict=True))
    columns = {
        **_columns([_row(request, deciles, categories) for request in ranked]),
        "user": pa.array(_users(ranked), pa.int32()),
        **{name: pa.array(values, pa.float64(), from_pandas=True) for name, values in _metrics(ranked, k).items()},
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def popularity_deciles(ids: Sequence[str], events: npt.NDArray[Any]) -> dict[str, int]:
    """Item id -> decile of the training events, 1 the head: each decile holds a tenth of the events, not of the items.

    >>> popularity_deciles(["a", "b", "c"], np.array([1, 8, 1]))
    {'a': 9, 'b': 1, 'c': 10}
    """
    counts = np.asarray(events, dtype=np.float64)
    order = np.argsort(-counts, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(counts[order])[:-1]]) if len(order) else counts
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.minimum(10, 1 + np.floor(10 * before / max(counts.sum(), 1.0))).astype(np.int64)
    ranks[counts <= 0] = 10
    return {item: int(rank) for item, rank in zip(ids, ranks, strict=True)}


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, pa.Array]:
    given = [field for field in SCHEMA if field.name not in {"user", "ndcg", "mrr", "hit"}]
    return {field.name: pa.array([row[field.name] for row in rows], field.type) for field in given}


def _users(requests: Sequence[RankedRequest]) -> list[int]:
    codes: dict[str, int] = {}
    return [codes.setdefault(request.user_id or f"\0{row}", len(codes)) for row, request in enumerate(requests)]


def _row(request: RankedRequest, deciles: Mapping[str, int], categories: Mapping[str, str]) -> dict[str, Any]:
    at = datetime.fromtimestamp(request.timestamp, UTC)
    relevant = np.asarray(request.labels, dtype=np.float64) > 0
    top = request.item_ids[0] if len(request.item_ids) else None
    clicked = request.item_ids[int(np.argmax(relevant))] if relevant.any() else None
    return {
        c.REQUEST_ID: request.request_id,
        c.TIMESTAMP: at,
        c.SOURCE: request.source,
        c.SURFACE: request.surface,
        c.HOUR: at.hour,
        c.WEEKDAY: at.weekday(),
        "n_candidates": len(request.item_ids),
        "known_share": float(np.mean([item in deciles for item in request.item_ids])) if top else None,
        **_history(request),
        **_scores(request),
        **_item("top", top, deciles, categories),
        **_item("clicked", clicked, deciles, categories),
        "answered": float(relevant.any()),
        c.DEGRADED: request.degraded,
    }


def _history(request: RankedRequest) -> dict[str, Any]:
    times = np.asarray(request.history_times, dtype=np.float64)
    if not len(times):
        return {"history_length": 0, "idle_seconds": None, "session_seconds": None}
    gaps = np.flatnonzero(np.diff(np.append(times, request.timestamp)) > SESSION_GAP_SECONDS)
    first = int(gaps[-1]) + 1 if len(gaps) else 0
    age = request.timestamp - times[first] if first < len(times) else 0.0
    idle = max(0.0, request.timestamp - times[-1])
    return {"history_length": len(times), "idle_seconds": float(idle), "session_seconds": float(max(0.0, age))}


def _scores(request: RankedRequest) -> dict[str, Any]:
    if request.scores is None or not len(request.scores):
        return {"top_score": None, "score_spread": None}
    scores = np.asarray(request.scores, dtype=np.float64)
    return {"top_score": float(scores.max()), "score_spread": float(scores.std())}


def _item(
    role: str, item: str | None, deciles: Mapping[str, int], categories: Mapping[str, str]
) -> dict[str, str | int | None]:
    if item is None:
        return {f"{role}_item_id": None, f"{role}_category": None, f"{role}_popularity_decile": None}
    return {
        f"{role}_item_id": item,
        f"{role}_category": categories.get(item, ""),
        f"{role}_popularity_decile": deciles.get(item, UNKNOWN_DECILE),
    }


def _metrics(requests: Sequence[RankedRequest], k: int) -> dict[str, npt.NDArray[np.float64]]:
    lists = _lists(requests)
    return {"ndcg": ndcg(lists, k), "mrr": mrr(lists, k), "hit": hit_rate(lists, k)}


def _lists(requests: Sequence[RankedRequest]) -> RankedLists:
    """The requests as evaluation has its lists; item codes only mark where a list ends."""
    shape = len(requests), max((len(request.item_ids) for request in requests), default=0)
    gains, items = np.zeros(shape), np.full(shape, PADDING, np.int64)
    for row, request in enumerate(requests):
        gains[row, : len(request.labels)] = np.asarray(request.labels) > 0
        items[row, : len(request.item_ids)] = np.arange(len(request.item_ids))
    inside = gains.sum(axis=1)
    given = [request.truths for request in requests]
    truths = np.asarray([here if all_ is None else all_ for here, all_ in zip(inside, given, strict=True)])
    ideal = np.arange(int(truths.max(initial=0)))[None, :] < truths[:, None]
    return RankedLists(gains, items, ideal.astype(np.float64))
