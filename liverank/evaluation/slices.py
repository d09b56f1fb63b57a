"""Slices of the test requests: where a mean may hide a loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liverank.config.evaluation import EvaluationConfig
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.measure import Measured
from liverank.ranking.data import Catalogue, LabelledRequest

Mask = npt.NDArray[np.bool_]

HISTORY_BUCKETS = ((0, 0), (1, 4), (5, 19), (20, 49), (50, None))
"""Events before the request, from and to (both included)."""


@dataclass(frozen=True)
class SliceResult:
    """The deciding metric on one slice."""

    name: str
    requests: int
    """Judged requests of the slice."""
    means: Mapping[str, Interval]
    """Ranker -> mean."""
    gaps: Mapping[str, Interval]
    """Other ranker -> paired difference, primary minus the other."""


def find_slices(requests: Sequence[LabelledRequest], catalogue: Catalogue, config: EvaluationConfig) -> dict[str, Mask]:
    """Name -> which requests, `[requests]`; slices may overlap, and may be empty."""
    lengths = np.array([len(labelled.request.history) for labelled in requests])
    slices = {
        f"new users (≤ {config.new_user_events} events)": lengths <= config.new_user_events,
        f"returning users (> {config.new_user_events} events)": lengths > config.new_user_events,
        f"cold right answer (≤ {config.cold_item_events} training events)": _cold(
            requests, catalogue, config.cold_item_events
        ),
    }
    for low, high in HISTORY_BUCKETS:
        slices[bucket_name((low, high))] = (lengths >= low) & (lengths <= (high if high is not None else np.inf))
    return slices | dict(_by_value(requests, config.slice_values))


def bucket_name(bucket: tuple[int, int | None]) -> str:
    """A bucket of `HISTORY_BUCKETS` in words."""
    low, high = bucket
    return "no history" if high == 0 else f"history of {low}–{high}" if high else f"history of {low} or more"


def _cold(requests: Sequence[LabelledRequest], catalogue: Catalogue, limit: int) -> Mask:
    events = np.append(catalogue.train_events, 0)  # an item outside the catalogue (row -1) has no events
    return np.array([bool(np.any(events[catalogue.rows(labelled.truth)] <= limit)) for labelled in requests], bool)


def _by_value(requests: Sequence[LabelledRequest], most: int) -> Iterator[tuple[str, Mask]]:
    described = [
        {"surface": labelled.request.context.surface, **labelled.request.context.attributes} for labelled in requests
    ]
    for key in sorted({key for values in described for key in values}):
        column = [values.get(key, "") for values in described]
        frequent = Counter(value for value in column if value).most_common(most)
        for value, _ in frequent:
            yield f"{key} = {value}", np.array([entry == value for entry in column])


def measure_slices(
    slices: Mapping[str, Mask],
    measured: Mapping[str, Measured],
    primary: str,
    bootstrap: Bootstrap,
    config: EvaluationConfig,
) -> list[SliceResult]:
    """The deciding metric on each slice that has at least `gate.min_requests` judged requests and is not everything."""
    metric = config.gate.metric
    judged = ~np.isnan(measured[primary].per_request[metric])
    results = []
    for name, mask in slices.items():
        inside = mask & judged
        if config.gate.min_requests <= inside.sum() < judged.sum():
            results.append(_measure(name, inside, measured, primary, bootstrap, metric))
    return results


def _measure(
    name: str, inside: Mask, measured: Mapping[str, Measured], primary: str, bootstrap: Bootstrap, metric: str
) -> SliceResult:
    values = np.column_stack([of.per_request[metric][inside] for of in measured.values()])
    mine = measured[primary].per_request[metric][inside][:, None]
    drawn = bootstrap.of(inside).intervals(np.hstack([values, mine - values]))
    means = dict(zip(measured, drawn[: len(measured)], strict=True))
    gaps = dict(zip(measured, drawn[len(measured) :], strict=True))
    del gaps[primary]
    return SliceResult(name, int(inside.sum()), means, gaps)
