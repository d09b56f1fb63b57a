"""What the interest model reads of live requests, as arrays: the same numbers as in training, made without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.ranking.data import EncodedRequest, Floats, Rows
from liverank.ranking.interest_loss import DAY, HOUR, THURSDAY
from liverank.ranking.interest_model import AGAIN_BUCKETS, GAP_BUCKETS, PADDING_STEP

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Inputs:
    """The latest events of some requests, oldest first and padded at the end, and when each was made."""

    rows: Ints
    """Row of each event's item, `[requests, events]`."""
    types: Ints
    """`[requests, events]`, as the next four; see `interest_model.Window`."""
    gaps: Ints
    again: Ints
    steps: Ints
    seconds: Floats
    latest: Ints
    """Place of each request's latest event, `[requests]`."""
    since: Ints
    """Bucket of the time since that event, `[requests]`; see `interest_model.Asked` for this and the next two."""
    hours: Ints
    weekdays: Ints


def inputs_of(requests: Sequence[EncodedRequest], types: Mapping[str, int], length: int) -> Inputs:
    """The latest `length` events of requests that have a history; `types` numbers the event types."""
    counts = [min(len(request.history), length) for request in requests]
    pairs = list(zip(requests, counts, strict=True))
    now = np.asarray([request.request.context.timestamp for request in requests])
    last = np.asarray([request.times[-1] for request in requests])
    unknown = len(types)
    return Inputs(
        rows=_padded([request.history[-count:] for request, count in pairs], np.int64),
        types=_padded([[types.get(name, unknown) for name in request.types[-count:]] for request, count in pairs]),
        gaps=_padded([gap_buckets(_gaps(request.times)[-count:]) for request, count in pairs]),
        again=_padded([again_buckets(times_before(request.history)[-count:]) for request, count in pairs]),
        steps=_padded([-request.steps_back[-count:] for request, count in pairs], filling=PADDING_STEP),
        seconds=_padded([request.times[-count:] - request.times[-count] for request, count in pairs], np.float32),
        latest=np.asarray(counts) - 1,
        since=gap_buckets(now - last),
        hours=np.clip((now % DAY / HOUR).astype(np.int64), 0, 23),
        weekdays=(np.floor(now / DAY).astype(np.int64) + THURSDAY) % 7,
    )


def gap_buckets(seconds: npt.NDArray[np.float64]) -> Ints:
    """As `interest_model.gap_bucket`."""
    return np.minimum(_whole_log2(np.maximum(seconds, 0.0) + 1), GAP_BUCKETS - 1)


def again_buckets(times: Rows) -> Ints:
    """As `interest_model.again_bucket`."""
    return np.minimum(_whole_log2(times + 1.0), AGAIN_BUCKETS - 1)


def _whole_log2(numbers: npt.NDArray[np.float64]) -> Ints:
    # The binary exponent: exact where a logarithm could fall short of a whole number.
    return np.frexp(numbers)[1].astype(np.int64) - 1


def _gaps(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    gaps = np.zeros(len(times))
    np.subtract(times[1:], times[:-1], out=gaps[1:])
    return gaps


def times_before(rows: Rows) -> Ints:
    """How often each row came before in the list, `[rows]`."""
    order = np.argsort(rows, kind="stable")
    ranked = rows[order]
    new = np.concatenate([[True], ranked[1:] != ranked[:-1]])
    places = np.arange(len(rows))
    times = np.empty(len(rows), np.int64)
    times[order] = places - np.maximum.accumulate(np.where(new, places, 0))
    return times


def _padded(rows: Sequence[Any], dtype: Any = np.int64, filling: int = 0) -> npt.NDArray[Any]:
    """Rows of numbers as a rectangle, filled at the end."""
    if len(rows) == 1:
        return np.asarray(rows[0], dtype)[None]
    table = np.full((len(rows), max(map(len, rows))), filling, dtype)
    for at, row in enumerate(rows):
        table[at, : len(row)] = row
    return table
