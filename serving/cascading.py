"""The language model's part of an answer: as many of the best candidates as the requests of a batch leave time for."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from liverank.ranking.data import encode
from liverank.ranking.lm.cascade import CascadeRanker
from liverank.ranking.protocol import Request, Scores

ANSWERING_SECONDS = 0.002
"""What is left of a deadline for everything after the scores: rules, the answer in JSON, the way back."""

EXPLAINING = 3.0
"""Times as long as the blend's scores of a request that its reasons take: its signals once more, and its events."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cascaded:
    """The scores of a request, and what they lack."""

    scores: Scores
    lacking: tuple[str, ...]
    seconds: float
    """That the language model took; 0 where it was not asked."""


def cascaded(
    cascade: CascadeRanker,
    requests: Sequence[Request],
    deadlines: Sequence[float | None],
    most_seconds: float,
    explained: int = 0,
) -> list[Cascaded]:
    """Scores by the blend, then by the language model in the time that is left.

    The answers of a batch leave together, so that its earliest deadline is everyone's; what time it leaves is shared
    evenly among the requests that still wait for the language model.

    Args:
        cascade: ranks.
        requests: of one batch.
        deadlines: when each caller needs the answer, on the clock of `time.perf_counter`; None: whenever it comes.
        most_seconds: for the language model, of all of them together; 0: it is not asked.
        explained: how many of the requests want reasons, which take their time as well.
    """
    began = time.perf_counter()
    encoded = [encode(cascade.count.catalogue, request) for request in requests]
    scores = cascade.blend.combine(encoded, cascade.blend.signals(encoded))
    blending = time.perf_counter() - began
    until = time.perf_counter() + most_seconds
    reserve = ANSWERING_SECONDS + EXPLAINING * blending * explained / max(1, len(requests))
    until = min([until, *(deadline - reserve for deadline in deadlines if deadline is not None)])
    if not most_seconds:
        return [Cascaded(of, (), 0.0) for of in scores]
    found = []
    for at, (request, blended) in enumerate(zip(encoded, scores, strict=True)):
        started = time.perf_counter()
        seconds = (until - started) / (len(encoded) - at)
        try:
            rescored = cascade.rescore(request, blended, seconds)
        except Exception as problem:  # noqa: BLE001  the blend's list stands, and says that it is only that
            _log.exception("The language model failed on a list of %d candidates.", len(blended))
            found.append(Cascaded(blended, (f"lm: {type(problem).__name__}",), time.perf_counter() - started))
            continue
        short = rescored.read < rescored.wanted
        lacking = (f"lm: read {rescored.read} of {rescored.wanted} in the time left",) if short else ()
        found.append(Cascaded(rescored.scores, lacking, time.perf_counter() - started if rescored.read else 0.0))
    return found
