"""Where the time of a ranking goes: each stage of it is timed once, for the histogram and for the request's trace."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import CollectorRegistry, Histogram

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


class Stages:
    """Counts seconds by stage. What a batch does together counts for each of its requests, which all wait for it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        seconds = Histogram(
            "liverank_stage_seconds",
            "Time of a ranking by stage; what is done for a batch counts for each request in it.",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        # Looked up once: finding a label's child costs as much as the counting.
        self._by_stage = {stage: seconds.labels(stage) for stage in STAGES}

    def lap(self, stage: str, began: float) -> None:
        """Counts a stage that ends now."""
        self.take(Lap(stage, began, time.perf_counter()))

    def take(self, *laps: Lap) -> None:
        """Counts stages that have ended."""
        for lap in laps:
            self._by_stage[lap.stage].observe(lap.ended - lap.began)
        call = CALL.get()
        if call is not None and call.laps is not None:
            call.laps.extend(laps)
