"""What the server counts; it appears on `/metrics` beside kserve's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from serving.calls import answered_by
from serving.freshness import Freshness
from serving.stages import Stages

SECONDS = (0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

REASONS = (
    "deadline",
    "experiment",
    "explain",
    "features",
    "history",
    "impression",
    "lm",
    "model",
    "query",
    "rules",
    "texts",
)
"""What the reasons in `degraded` begin with, before their colon; each is counted from 0 on: alerts can name it."""


def untraced(registry: CollectorRegistry) -> Counter:
    """The counter for `serving.tracing`."""
    return Counter("liverank_traces_dropped", "Calls whose trace could not be sent.", registry=registry)


class Metrics:
    """Prometheus metrics of one server process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.requests = Counter(
            "liverank_requests", "Answers by route and status.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "liverank_request_seconds", "Time from request to answer.", ["route"], buckets=SECONDS, registry=registry
        )
        self.waiting_seconds = Histogram(
            "liverank_queue_seconds", "Time a rank request waited for the model.", buckets=SECONDS, registry=registry
        )
        self.model_seconds = Histogram(
            "liverank_model_seconds", "Time the model took for a batch.", buckets=SECONDS, registry=registry
        )
        self.batch = Histogram(
            "liverank_batch_requests", "Requests scored together.", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self.degraded = Counter("liverank_degraded", "Rankings that lack something.", ["reason"], registry=registry)
        for reason in REASONS:
            self.degraded.labels(reason)
        self.sentences = Counter(
            "liverank_sentences", "Sentences by what they came from or failed by.", ["source"], registry=registry
        )
        self.dropped = Counter("liverank_impressions_dropped", "Impressions that were not recorded.", registry=registry)
        self.limited = Counter(
            "liverank_rate_limited", "Requests beyond their token's rate.", ["token"], registry=registry
        )
        self.records = Counter("liverank_records", "New records accepted.", registry=registry)
        self.swaps = Counter("liverank_swaps", "Model swaps by outcome.", ["outcome"], registry=registry)
        self.variants = Counter(
            "liverank_variant_rankings",
            "Rankings by experiment, variant (empty: interleaved) and the version that ranked.",
            ["experiment", "variant", "version"],
            registry=registry,
        )
        self.variant_seconds = Histogram(
            "liverank_variant_seconds",
            "Time from a rank request to its ranking by variant.",
            ["experiment", "variant"],
            buckets=SECONDS,
            registry=registry,
        )
        self.shadows = Counter(
            "liverank_shadow_lists",
            "Lists for models on the side by outcome.",
            ["shadow", "outcome"],
            registry=registry,
        )
        self.shadow_overlap = Histogram(
            "liverank_shadow_overlap",
            "Share of the ten best items, before rules, that are the answer's too.",
            ["shadow"],
            buckets=SHARES,
            registry=registry,
        )
        self.shadow_discordance = Histogram(
            "liverank_shadow_discordance",
            "Share of the pairs of candidates that the two orders, before rules, have the other way round.",
            ["shadow"],
            buckets=SHARES,
            registry=registry,
        )
        self.model = Gauge("liverank_model_info", "1: it serves.", ["version", "hash"], registry=registry)
        self._cache = Counter(
            "liverank_cache_lookups",
            "What was looked for in a cache, by outcome (hit, miss).",
            ["cache", "outcome"],
            registry=registry,
        )
        self.untraced = untraced(registry)
        self.stages = Stages(registry)
        self.freshness = Freshness(registry)
        self._queue = Gauge("liverank_queue_requests", "Rank requests that wait.", registry=registry)
        self._log = Gauge("liverank_log_queue_appends", "Appends that wait for the live store.", registry=registry)

    def watch(self, queue: Callable[[], int], log: Callable[[], int]) -> None:
        """Reads the lengths of the two queues at each scrape."""
        self._queue.set_function(queue)
        self._log.set_function(log)

    def scored(self, waited: Sequence[float], seconds: float) -> None:
        """Counts one batch: seconds each of its requests waited, seconds the model took."""
        self.batch.observe(len(waited))
        self.model_seconds.observe(seconds)
        for each in waited:
            self.waiting_seconds.observe(each)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts one answer, and says so to the call that it answers."""
        answered_by(route, status)
        self.requests.labels(route, status).inc()
        self.seconds.labels(route).observe(seconds)

    def looked_up(self, cache: str, hits: int, misses: int) -> None:
        """Counts lookups in a cache."""
        self._cache.labels(cache, "hit").inc(hits)
        self._cache.labels(cache, "miss").inc(misses)

    def ranked_by(self, experiment: str, variant: str, version: str, seconds: float) -> None:
        """Counts one ranking of an experiment."""
        self.variants.labels(experiment, variant, version).inc()
        self.variant_seconds.labels(experiment, variant).observe(seconds)

    def serves(self, version: str, bundle_hash: str) -> None:
        """Names the model that serves from now on."""
        self.model.clear()
        self.model.labels(version, bundle_hash).set(1)
