"""What happened in a model server between two looks at its metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from liverank.exposition import Scrape, gained, gained_buckets, quantile

STAGES = "liverank_stage_seconds"
REQUESTS = "liverank_request_seconds"


@dataclass(frozen=True, slots=True)
class Timed:
    """One route or stage: how often a second, and quantiles in milliseconds; None where there was nothing."""

    name: str
    per_second: float
    p50_ms: float | None
    p99_ms: float | None
    largest_ms: float
    """The largest bound of its buckets: a quantile there may be any time beyond it."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Rates are a second's; ages are seconds, None where the server has nothing to tell yet."""

    seconds: float
    """Between the two looks."""
    requests_per_second: float
    refused_per_second: float
    """Answers with a status from 400 to 499."""
    failed_per_second: float
    """Answers with a status from 500."""
    routes: list[Timed]
    stages: list[Timed]
    queue: int
    log_queue: int
    """Appends that wait for the live store."""
    batch: float | None
    """Requests scored together, on average."""
    cache_hits: dict[str, float]
    """Share of lookups by cache, of those that were asked."""
    degraded_per_second: dict[str, float]
    dropped: int
    """Impressions not recorded since the server started."""
    records_per_second: float
    models: list[str]
    """Versions that serve: the champion."""
    model_age: float | None
    newest_event_age: float | None
    history_age_p50: float | None
    resident_bytes: int | None


def figures(before: Scrape, after: Scrape, seconds: float, now: float) -> Figures:
    """Compares two looks.

    Args:
        before: the first.
        after: the second.
        seconds: between them.
        now: when the second was, in epoch seconds.
    """
    degraded = _by_label(before, after, "liverank_degraded_total", "reason", seconds)
    statuses = _by_label(before, after, "liverank_requests_total", "status", seconds)
    batches = _gain(before, after, "liverank_batch_requests_count")
    resident = after.total("process_resident_memory_bytes")
    ages = quantile(0.5, gained_buckets(before, after, "liverank_history_age_seconds"))
    return Figures(
        seconds=seconds,
        requests_per_second=sum(statuses.values()),
        refused_per_second=sum(rate for status, rate in statuses.items() if status.startswith("4")),
        failed_per_second=sum(rate for status, rate in statuses.items() if status.startswith("5")),
        routes=[_timed(before, after, REQUESTS, "route", name, seconds) for name in _values(after, REQUESTS, "route")],
        stages=[_timed(before, after, STAGES, "stage", name, seconds) for name in _values(after, STAGES, "stage")],
        queue=int(after.total("liverank_queue_requests")),
        log_queue=int(after.total("liverank_log_queue_appends")),
        batch=_gain(before, after, "liverank_batch_requests_sum") / batches if batches else None,
        cache_hits=_hits(before, after),
        degraded_per_second={reason: rate for reason, rate in degraded.items() if rate},
        dropped=int(after.total("liverank_impressions_dropped_total")),
        records_per_second=_gain(before, after, "liverank_records_total") / seconds,
        models=sorted(labels.get("version", "") for labels, _ in after.of("liverank_model_info")),
        model_age=_age(after, "liverank_model_timestamp_seconds", now),
        newest_event_age=_age(after, "liverank_newest_event_timestamp_seconds", now),
        history_age_p50=ages,
        resident_bytes=int(resident) if resident else None,
    )


def _values(scrape: Scrape, name: str, label: str) -> list[str]:
    """In the server's order."""
    return [labels[label] for labels, _ in scrape.of(f"{name}_count")]


def _gain(before: Scrape, after: Scrape, name: str, **labels: str) -> float:
    return gained(before.total(name, **labels), after.total(name, **labels))


def _by_label(before: Scrape, after: Scrape, name: str, label: str, seconds: float) -> dict[str, float]:
    values: Iterable[str] = sorted({labels[label] for labels, _ in after.of(name)})
    return {value: _gain(before, after, name, **{label: value}) / seconds for value in values}


def _timed(before: Scrape, after: Scrape, name: str, label: str, value: str, seconds: float) -> Timed:
    buckets = gained_buckets(before, after, name, **{label: value})
    finite = [bound for bound, _ in buckets if math.isfinite(bound)]
    return Timed(
        value,
        _gain(before, after, f"{name}_count", **{label: value}) / seconds,
        _milliseconds(quantile(0.5, buckets)),
        _milliseconds(quantile(0.99, buckets)),
        finite[-1] * 1000 if finite else 0.0,
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _hits(before: Scrape, after: Scrape) -> dict[str, float]:
    name = "liverank_cache_lookups_total"
    found = {}
    for cache in sorted({labels["cache"] for labels, _ in after.of(name)}):
        hits = _gain(before, after, name, cache=cache, outcome="hit")
        misses = _gain(before, after, name, cache=cache, outcome="miss")
        if hits + misses:
            found[cache] = hits / (hits + misses)
    return found


def _age(scrape: Scrape, name: str, now: float) -> float | None:
    values = [value for _, value in scrape.of(name) if math.isfinite(value)]
    return now - values[0] if values else None
