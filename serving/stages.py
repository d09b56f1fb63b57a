"""Where the time of a ranking goes: each stage of it is timed once, for the histogram and for the call's trace."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from serving.calls import CALL, Lap

DECODE: Final = "decode"
TEXTS: Final = "texts"
QUEUE: Final = "queue"
STORE: Final = "store"
MODEL: Final = "model"
LM: Final = "lm"
SHAPING: Final = "shaping"
EXPLAIN: Final = "explain"
ENCODE: Final = "encode"
STAGES: Final = (DECODE, TEXTS, QUEUE, STORE, MODEL, LM, SHAPING, EXPLAIN, ENCODE)
"""In the order in which a ranking goes through them."""
SECONDS: Final = (0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25)
_BOUNDS: Final = (*map(floatToGoString, SECONDS), "+Inf")


class Stages(Collector):
    """Counts seconds by stage. What a batch does together counts for each of its requests, which all wait for it.

    For the event loop's thread alone, which counts and is scraped: Prometheus' own histogram would lock twice for each
    of the stages of each ranking.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counts = {stage: [0] * len(_BOUNDS) for stage in STAGES}
        self._sums = dict.fromkeys(STAGES, 0.0)
        registry.register(self)

    def lap(self, stage: str, began: float) -> None:
        """Counts a stage that ends now."""
        self.take(Lap(stage, began, time.perf_counter()))

    def take(self, *laps: Lap) -> None:
        """Counts stages that have ended."""
        for stage, began, ended in laps:
            seconds = ended - began
            # A bound is the largest value of its bucket.
            self._counts[stage][bisect_left(SECONDS, seconds)] += 1
            self._sums[stage] += seconds
        call = CALL.get()
        if call is not None and call.laps is not None:
            call.laps.extend(laps)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The histogram, for a scrape."""
        family = HistogramMetricFamily(
            "liverank_stage_seconds",
            "Time of a ranking by stage; what is done for a batch counts for each request in it.",
            labels=["stage"],
        )
        for stage, counts in self._counts.items():
            buckets = list(zip(_BOUNDS, accumulate(counts), strict=True))
            family.add_metric([stage], buckets, self._sums[stage])
        yield family
