"""From scores to one value a request, metric and ranker, and to their means with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

AT_K: Final = ("ndcg", "hit_rate", "recall", "mrr", "map", "precision", "diversity", "novelty", "coverage")
"""Metrics with a cut-off; AUC has none."""
RETRIEVER: Final = "retriever"

PerRequest = Mapping[str, Floats]
"""Metric -> `[requests]`, NaN where undefined."""


@dataclass(frozen=True)
class Measured:
    """One ranker's metrics."""

    per_request: PerRequest
    coverage: float


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
    ranked = lists.ranked(scores)
    return Measured(_per_request(ranked, catalogue, k), coverage(ranked, k, len(catalogue)))


def _per_request(ranked: RankedLists, catalogue: Catalogue, k: int) -> PerRequest:
    embeddings = np.zeros((len(catalogue), 1)) if catalogue.embeddings is None else catalogue.embeddings
    return {
        "ndcg": ndcg(ranked, k),
        "hit_rate": hit_rate(ranked, k),
        "recall": recall(ranked, k),
        "mrr": mrr(ranked, k),
        "map": average_precision(ranked, k),
        "precision": precision(ranked, k),
        "auc": auc(ranked),
        "diversity": diversity(ranked, k, embeddings),
        "novelty": novelty(ranked, k, catalogue.train_events),
    }


def means(measured: Mapping[str, Measured], bootstrap: Bootstrap) -> dict[str, dict[str, Interval]]:
    """Ranker -> metric -> mean with interval; coverage, which is no mean over requests, has a point only."""
    table = {}
    for name, of in measured.items():
        intervals = bootstrap.intervals(np.column_stack(list(of.per_request.values())))
        table[name] = dict(zip(of.per_request, intervals, strict=True))
        requests = table[name]["diversity"].requests
        table[name]["coverage"] = Interval(of.coverage, of.coverage, of.coverage, requests)
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
            if metric != "coverage":
                values |= {f"{key}_low": interval.low, f"{key}_high": interval.high}
    return {key: value for key, value in values.items() if np.isfinite(value)}
