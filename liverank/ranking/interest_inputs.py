"""What the interest model reads of live requests, as arrays: the same numbers as in training, made without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liverank.ranking.data import EncodedRequest, Floats, Rows
from liverank.ranking.interest_loss import DAY, HOUR, THURSDAY
from liverank.ranking.interest_model import AGAIN_BUCKETS, GAP_BUCKETS

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inputs:
    """The latest steps of some requests, oldest first and padded at the end, and when each was made.

    See `interest_model.Window` and `Asked`, which these become.
    """

    rows: Ints
    """Row of each event's item, `[events]`; so are the next three."""
    types: Ints
    again: Ints
    places: Ints
    """Place of the event's step in the flattened requests."""
    gaps: Ints
    """`[requests, steps]`, as the next."""
    seconds: Floats
    latest: Ints
    """Place of each request's latest step, `[requests]`."""
    asked: Moments


@dataclass(frozen=True, slots=True)
class Moments:
    """When each request is made, in the model's buckets, `[requests]`."""

    since: Ints
    hours: Ints
    weekdays: Ints


def inputs_of(requests: Sequence[EncodedRequest], types: Mapping[str, int], length: int) -> Inputs:
    """The latest `length` steps of requests that have a history; `types` numbers the event types."""
    read = [_read(request, length, types) for request in requests]
    width = max(len(one.times) for one in read)
    gaps, seconds = np.zeros((len(read), width)), np.zeros((len(read), width), np.float32)
    for at, one in enumerate(read):
        gaps[at, : len(one.times)] = one.gaps
        seconds[at, : len(one.times)] = one.times - one.times[0]
    return Inputs(
        rows=_joined([one.rows for one in read]),
        types=_joined([one.types for one in read]),
        again=_joined([one.again for one in read]),
        places=_joined([at * width + one.places for at, one in enumerate(read)]),
        gaps=gap_buckets(gaps),
        seconds=seconds,
        latest=np.asarray([len(one.times) - 1 for one in read]),
        asked=moments_of(requests),
    )


def moments_of(requests: Sequence[EncodedRequest]) -> Moments:
    """When requests that have a history are made."""
    now = np.asarray([request.request.context.timestamp for request in requests])
    last = np.asarray([request.times[-1] for request in requests])
    return Moments(
        since=gap_buckets(now - last),
        hours=np.clip((now % DAY / HOUR).astype(np.int64), 0, 23),
        weekdays=(np.floor(now / DAY).astype(np.int64) + THURSDAY) % 7,
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """The latest steps of a history."""

    rows: Ints
    """Item of each event, `[events]`; so are `types`, `again` and `places`."""
    types: Ints
    again: Ints
    places: Ints
    """Place of the event's step, from 0."""
    times: Doubles
    """Of each step; so are `gaps`."""
    gaps: Doubles


def _read(request: EncodedRequest, length: int, known: Mapping[str, int]) -> _Read:
    """The latest `length` steps of a request's history."""
    back = request.steps_back
    begin = int(np.searchsorted(-back, 1 - length)) if back[0] >= length else 0
    places = back[begin] - back[begin:]
    starts = begin + np.flatnonzero(np.concatenate([[True], places[1:] != places[:-1]]))
    times = request.times[starts]
    unknown = len(known)
    return _Read(
        request.history[begin:],
        np.asarray([known.get(name, unknown) for name in request.types[begin:]]),
        again_buckets(times_before(request.history)[begin:]),
        places,
        times,
        times - request.times[np.maximum(starts - 1, 0)],
    )


def gap_buckets(seconds: Doubles) -> Ints:
    """As `interest_model.gap_bucket`."""
    return np.minimum(_whole_log2(np.maximum(seconds, 0.0) + 1), GAP_BUCKETS - 1)


def again_buckets(times: Rows) -> Ints:
    """As `interest_model.again_bucket`."""
    return np.minimum(_whole_log2(times.astype(np.float64) + 1), AGAIN_BUCKETS - 1)


def _whole_log2(numbers: Doubles) -> Ints:
    # The binary exponent: exact where a logarithm could fall short of a whole number.
    return np.frexp(numbers)[1].astype(np.int64) - 1


def times_before(rows: Rows) -> Ints:
    """How often each row came before in the list, `[rows]`."""
    order = np.argsort(rows, kind="stable")
    ranked = rows[order]
    places = np.arange(len(rows))
    new = np.concatenate([[True], ranked[1:] != ranked[:-1]])[: len(rows)]
    times = np.empty(len(rows), np.int64)
    times[order] = places - np.maximum.accumulate(np.where(new, places, 0))
    return times


def _joined(parts: Sequence[Ints]) -> Ints:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
