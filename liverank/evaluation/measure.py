"""From scores to one value a request, metric and ranker, and to their means with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.lists import Floats, Lists, RankedLists, build_lists
from liverank.evaluation.metrics import (
    auc,
    average_precision,
    coverage,
    diversity,
    hit_rate,
    mrr,
    ndcg,
    novelty,
    precision,
    recall,
)
from liverank.ranking.data import Catalogue, LabelledRequest
from liverank.ranking.protocol import Scores

RANKING: Final[Mapping[str, Callable[[RankedLists, int], Floats]]] = {
    "ndcg": ndcg,
    "hit_rate": hit_rate,
    "recall": recall,
    "mrr": mrr,
    "map": average_precision,
    "precision": precision,
}
"""Metrics of where the relevant items stand: what a gate may decide by."""
POINTS: Final = ("coverage", "exposure_gini")
"""Properties of all lists together: no mean over requests, no interval."""
AT_K: Final = (
    *RANKING,
    "diversity",
    "novelty",
    "popularity",
    "long_tail",
    "category_calibration",
    "popularity_lift",
    *POINTS,
)
"""Metrics with a cut-off; AUC has none."""
RETRIEVER: Final = "retriever"

PerRequest = Mapping[str, Floats]
"""Metric -> `[requests]`, NaN where undefined."""


@dataclass(frozen=True)
class Measured:
    """One ranker's metrics."""

    per_request: PerRequest
    coverage: float
    exposure_gini: float = float("nan")


def metric_key(metric: str, k: int) -> str:
    """The metric's name in flat tables and in MLflow (which takes no `@`)."""
    return f"{metric}_at_{k}" if metric in AT_K else metric


def lists_of(requests: Sequence[LabelledRequest], catalogue: Catalogue) -> Lists:
    """The requests' lists in incoming order.

    What a retriever failed to propose counts as missed; of a shown list only what it held can be judged, because what
    the user did elsewhere was not this list's doing.
    """
    return build_lists(
        [labelled.request.candidates.item_ids for labelled in requests],
        [labelled.labels for labelled in requests],
        [_outside(labelled) for labelled in requests],
        catalogue.index,
    )


def _outside(labelled: LabelledRequest) -> list[str]:
    if labelled.source != RETRIEVER:
        return []
    inside = set(labelled.request.candidates.item_ids)
    return [item for item in dict.fromkeys(labelled.truth) if item not in inside]


def measure(lists: Lists, scores: Sequence[Scores], catalogue: Catalogue, k: int) -> Measured:
    """All metrics of one ranker's scores."""
    return measure_ranked(lists.ranked(scores), catalogue, k)


def measure_ranked(ranked: RankedLists, catalogue: Catalogue, k: int) -> Measured:
    """All metrics of lists in one ranker's order."""
    return Measured(_per_request(ranked, catalogue, k), coverage(ranked, k, len(catalogue)))


def _per_request(ranked: RankedLists, catalogue: Catalogue, k: int) -> PerRequest:
    embeddings = np.zeros((len(catalogue), 1)) if catalogue.embeddings is None else catalogue.embeddings
    return {
        **{name: metric(ranked, k) for name, metric in RANKING.items()},
        "auc": auc(ranked),
        "diversity": diversity(ranked, k, embeddings),
        "novelty": novelty(ranked, k, catalogue.train_events),
    }


def means(measured: Mapping[str, Measured], bootstrap: Bootstrap) -> dict[str, dict[str, Interval]]:
    """Ranker -> metric -> mean with interval; `POINTS`, which are no means over requests, have a point only."""
    table = {}
    for name, of in measured.items():
        intervals = bootstrap.intervals(np.column_stack(list(of.per_request.values())))
        table[name] = dict(zip(of.per_request, intervals, strict=True))
        requests = table[name]["diversity"].requests
        for metric in POINTS:
            value = getattr(of, metric)
            table[name][metric] = Interval(value, value, value, requests)
    return table


def differences(measured: Mapping[str, Measured], primary: str, bootstrap: Bootstrap) -> dict[str, dict[str, Interval]]:
    """Other ranker -> metric -> paired difference, primary minus the other, on the same lists and resamples."""
    mine = measured[primary].per_request
    table = {}
    for name, of in measured.items():
        if name == primary:
            continue
        gaps = np.column_stack([mine[metric] - of.per_request[metric] for metric in mine])
        table[name] = dict(zip(mine, bootstrap.intervals(gaps), strict=True))
    return table


def flat(
    table: Mapping[str, Mapping[str, Interval]], gaps: Mapping[str, Mapping[str, Interval]], primary: str, k: int
) -> dict[str, float]:
    """Finite numbers under names that MLflow takes: `blend/ndcg_at_10`, with `_low` and `_high` for the interval."""
    values: dict[str, float] = {}
    for prefix, rows in [(name, rows) for name, rows in table.items()] + [
        (f"{primary}_minus_{name}", rows) for name, rows in gaps.items()
    ]:
        for metric, interval in rows.items():
            key = f"{prefix}/{metric_key(metric, k)}"
            values |= {key: interval.mean}
            if metric not in POINTS:
                values |= {f"{key}_low": interval.low, f"{key}_high": interval.high}
    return {key: value for key, value in values.items() if np.isfinite(value)}
