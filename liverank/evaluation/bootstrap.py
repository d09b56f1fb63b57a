"""Paired bootstrap intervals: the same resamples for every ranker, so that differences are judged on the same lists.

Users are resampled, not requests: two requests of one user are no independent evidence (Efron and Tibshirani, 1993,
chapter 8; the percentile interval). Where each user has one request the two are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from liverank.evaluation.lists import Floats, Integers

RESAMPLES_AT_ONCE = 64
"""Bounds memory: resamples x users float64."""


@dataclass(frozen=True)
class Interval:
    """A mean over requests with its bootstrap interval."""

    mean: float
    low: float
    high: float
    requests: int
    """Requests the mean is taken over."""


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn; the same settings and users give the same resamples."""

    users: Sequence[str]
    """The user of each request."""
    samples: int = 1000
    confidence: float = 0.95
    seed: int = 7

    def intervals(self, values: Floats) -> list[Interval]:
        """The interval of each column of `values`, `[requests, columns]`; NaN is left out of a column's mean.

        A column without a single value gets NaN throughout.
        """
        defined = ~np.isnan(values)
        return self.ratios(np.where(defined, values, 0.0), defined.astype(np.float64))

    def ratios(self, top: Floats, bottom: Floats) -> list[Interval]:
        """The interval of sum(top) / sum(bottom) of each column, both `[requests, columns]` without NaN.

        NaN where a column's `bottom` sums to 0; a column counts the requests where its `bottom` is not 0.
        """
        point, drawn = self.resampled(top, bottom)
        requests = np.sum(bottom != 0, axis=0)
        return [
            self.around(float(point[column]), drawn[:, column], int(requests[column])) for column in range(top.shape[1])
        ]

    def resampled(self, top: Floats, bottom: Floats) -> tuple[Floats, Floats]:
        """The ratios of `ratios` on the requests as they are, `[columns]`, and on each resample, `[samples, columns]`.

        The same resamples for every column, so that columns may be subtracted from each other.
        """
        codes = np.unique(np.asarray(self.users, dtype=object).astype(str), return_inverse=True)[1].reshape(-1)
        totals, counts = _per_user(top, codes), _per_user(bottom, codes)
        drawn = np.vstack([_ratio(w @ totals, w @ counts) for w in self._weights(len(totals))])
        return _ratio(totals.sum(axis=0), counts.sum(axis=0)), drawn

    def around(self, point: float, drawn: Floats, requests: int, comparisons: int = 1) -> Interval:
        """The percentile interval of resampled figures, `[samples]`.

        Args:
            point: the figure on the requests as they are.
            drawn: the figure on each resample; NaN where a resample has none.
            requests: what it was taken over.
            comparisons: figures that this one was picked from: the error that the confidence allows is split among them
                (Bonferroni), so that nothing is found by looking often.
        """
        return _interval(point, drawn, (1 - self.confidence) / 2 / comparisons, requests)

    def of(self, mask: npt.NDArray[np.bool_]) -> Bootstrap:
        """The same settings for the requests where `mask` holds."""
        return replace(self, users=[user for user, kept in zip(self.users, mask, strict=True) if kept])

    def interval(self, values: Floats) -> Interval:
        """The interval of the mean of one `[requests]` array."""
        return self.intervals(values[:, None])[0]

    def _weights(self, users: int) -> Iterator[Floats]:
        if not users:
            yield np.zeros((1, 0))
            return
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.samples, RESAMPLES_AT_ONCE):
            size = min(RESAMPLES_AT_ONCE, self.samples - start)
            yield rng.multinomial(users, np.full(users, 1 / users), size=size).astype(np.float64)


def _per_user(values: Floats, codes: Integers) -> Floats:
    total = np.zeros((codes.max(initial=-1) + 1, values.shape[1]))
    np.add.at(total, codes, values)
    return total


def _ratio(total: Floats, count: Floats) -> Floats:
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def _interval(mean: float, resampled: Floats, tail: float, requests: int) -> Interval:
    # A resample may by chance hold no judged request at all; it says nothing.
    drawn = resampled[~np.isnan(resampled)]
    if not len(drawn):
        return Interval(mean, mean, mean, requests)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(mean, float(low), float(high), requests)
