"""How old is what rankings are made of: the user's newest event, the newest record taken, the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge, Histogram

from liverank.events import Interaction, Record
from liverank.ranking.protocol import History

AGES: Final = (1, 5, 15, 60, 300, 1800, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400)
"""Seconds: from what was done a moment ago to a month."""


class Freshness:
    """Ages as metrics. Instants are epoch seconds, NaN where there is none yet; `time() - instant` is their age."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._used = Histogram(
            "liverank_history_age_seconds",
            "Age of the user's newest event that a ranking used, at the request's instant.",
            buckets=AGES,
            registry=registry,
        )
        self._newest = math.nan
        newest = Gauge(
            "liverank_newest_event_timestamp_seconds",
            "When the newest event that this server acknowledged happened.",
            registry=registry,
        )
        newest.set_function(lambda: self._newest)
        self._made = Gauge("liverank_model_timestamp_seconds", "When the serving model was made.", registry=registry)

    def watch(self, manifest: Callable[[], Mapping[str, Any]]) -> None:
        """Reads when the model was made at each scrape."""
        self._made.set_function(lambda: _made_at(manifest()))

    def used(self, history: History, at: float) -> None:
        """Counts the newest event of a history that a ranking at `at`, in epoch seconds, used, if there is any."""
        if history.timestamps:
            self._used.observe(at - history.timestamps[-1])

    def acknowledged(self, records: Iterable[Record]) -> None:
        """Takes the events among records that are on disk."""
        times = [record.timestamp.timestamp() for record in records if isinstance(record, Interaction)]
        if times:
            # `max` with NaN gives whichever comes first.
            self._newest = max(times) if math.isnan(self._newest) else max(self._newest, *times)


def _made_at(manifest: Mapping[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(manifest.get("created_at"))).timestamp()
    except ValueError:
        return math.nan
