"""Ranking quality of a window against its reference: two independent samples of per-request metrics, bootstrapped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config import Config

METRICS: Final = ("ndcg", "mrr", "hit", "answered")
"""The per-request metrics of the request table."""
ALL: Final = "all"
"""The slice of all requests."""
LARGEST_SURFACES: Final = 5
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Mean of a per-request metric in the window and in the reference; losses are relative to the reference mean."""

    reference: float
    window: float
    n_reference: int
    n_window: int
    difference: float
    """Window minus reference."""
    difference_low: float
    difference_high: float
    loss: float
    """(reference - window) / reference: negative is a gain."""
    loss_low: float
    loss_high: float


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One metric on one slice of the requests."""

    name: str
    metric: str
    comparison: Comparison


@dataclass(frozen=True)
class Sample:
    """A metric on some requests: `[requests]` values and the user of each."""

    values: Floats
    users: Integers

    def __len__(self) -> int:
        return len(self.values)

    def resampled_means(self, samples: int, rng: np.random.Generator) -> Floats:
        """Means of `samples` bootstrap resamples of the users, `[samples]`.

        Two requests of one user are no independent evidence, so users are resampled, as in offline evaluation.
        """
        users = np.unique(self.users, return_inverse=True)[1].reshape(-1)
        totals, counts = np.bincount(users, self.values), np.bincount(users).astype(np.float64)
        even = np.full(len(totals), 1 / len(totals))
        drawn = (rng.multinomial(len(totals), even) for _ in range(samples))
        return np.fromiter((times @ totals / (times @ counts) for times in drawn), np.float64, samples)


def sample_of(table: pa.Table, metric: str) -> Sample:
    """The requests of a request table on which `metric` is defined."""
    rows = table.filter(pc.is_valid(table[metric]))
    return Sample(np.asarray(rows[metric].to_numpy(), np.float64), np.asarray(rows["user"].to_numpy(), np.int64))


def compare(
    reference: Sample, window: Sample, samples: int, confidence: float, rng: np.random.Generator
) -> Comparison | None:
    """Compares two independent samples of a metric by the percentile bootstrap.

    Both sides are resampled, so that a small reference widens the interval as it should.

    Args:
        reference: the metric on the reference requests.
        window: the metric on the window's requests.
        samples: bootstrap resamples.
        confidence: coverage of the intervals.
        rng: source of the resamples.

    Returns:
        None where a side has fewer than two values or the reference mean is not above zero.
    """
    if min(len(reference), len(window)) < 2 or reference.values.mean() <= 0:
        return None
    of_reference, of_window = (side.resampled_means(samples, rng) for side in (reference, window))
    tail = (1 - confidence) / 2
    difference = np.quantile(of_window - of_reference, [tail, 1 - tail])
    # A resample of zeros only cannot be a denominator: its loss is taken as nothing.
    ratio = np.divide(of_window, of_reference, out=np.ones(samples), where=of_reference > 0)
    loss = np.quantile(1 - ratio, [tail, 1 - tail])
    means = float(reference.values.mean()), float(window.values.mean())
    return Comparison(
        reference=means[0],
        window=means[1],
        n_reference=len(reference),
        n_window=len(window),
        difference=means[1] - means[0],
        difference_low=float(difference[0]),
        difference_high=float(difference[1]),
        loss=1 - means[1] / means[0],
        loss_low=float(loss[0]),
        loss_high=float(loss[1]),
    )


def slices(table: pa.Table, new_user_events: int) -> Iterator[tuple[str, pa.Table]]:
    """Name and rows of each slice: all, new users, and the surfaces with the most requests."""
    yield ALL, table
    yield "new users", table.filter(pc.less_equal(table["history_length"], new_user_events))
    counts: list[dict[str, Any]] = table[c.SURFACE].value_counts().to_pylist()
    named = sorted((row for row in counts if row["values"]), key=lambda row: (-row["counts"], row["values"]))
    for row in named[:LARGEST_SURFACES]:
        yield f"surface {row['values']}", table.filter(pc.equal(table[c.SURFACE], row["values"]))


def compare_slices(reference: pa.Table, window: pa.Table, config: Config, rng: np.random.Generator) -> list[Slice]:
    """All metrics on all requests, the deciding one on each slice, where both sides have `min_judged` values."""
    settings, deciding = config.evaluation, config.monitoring.quality_metric
    of_reference = dict(slices(reference, settings.new_user_events))
    found = []
    for name, rows in slices(window, settings.new_user_events):
        for metric in METRICS if name == ALL else (deciding,):
            sides = sample_of(of_reference.get(name, reference.slice(0, 0)), metric), sample_of(rows, metric)
            if min(len(side) for side in sides) < config.monitoring.min_judged:
                continue
            if comparison := compare(*sides, settings.bootstrap_samples, settings.confidence, rng):
                found.append(Slice(name=name, metric=metric, comparison=comparison))
    return found
