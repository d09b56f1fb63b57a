"""What the server counts of stages, caches and freshness, seen from outside."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from liverank.events import Interaction, Item
from liverank.ranking.protocol import History
from serving.freshness import Freshness
from serving.metrics import Metrics
from serving.stages import STAGES, Lap, Stages
from tests.serving.conftest import ROOT, Server
from tests.serving.scrapes import scraped, value

ROW = re.compile(r"^\| (`liverank_[^|]+) \|([^|]*)\|", re.MULTILINE)
EVERY_RANKING = {"decode", "queue", "store", "model", "shaping", "encode"}


def documented() -> dict[str, set[str]]:
    """Metric -> its labels, by the table in docs/operations.md."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    names = re.compile("`([a-z_]+)`")
    return {name: set(names.findall(row[2])) for row in ROW.finditer(text) for name in names.findall(row[1])}


def test_the_table_of_metrics_is_what_is_counted() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    counted = {}
    for collector in registry._collector_to_names:
        if isinstance(collector, MetricWrapperBase):
            (family,) = collector.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            counted[name] = set(collector._labelnames)
        else:  # has samples from the start, of which each bucket has its bound besides
            for family in collector.collect():
                counted[family.name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    assert documented() == counted


def rank(client: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/rank", json={"user_id": "u", "candidates": ["a", "b"], **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def stages(client: httpx.Client, of: str = "count") -> dict[str, float]:
    return {
        dict(labels)["stage"]: found
        for (name, labels), found in scraped(client).items()
        if name == f"liverank_stage_seconds_{of}"
    }


def gained(client: httpx.Client, ask: Callable[[], Any]) -> dict[str, float]:
    before = stages(client)
    ask()
    return {stage: count - before[stage] for stage, count in stages(client).items() if count != before[stage]}


@pytest.mark.parametrize(
    ("path", "body", "lists"),
    [
        ("/v1/rank", {"user_id": "u", "candidates": ["a", "b"]}, 1),
        ("/v2/rerank", {"query": "", "documents": ["a", "b"]}, 1),
        ("/v1/models/liverank:predict", {"instances": [{"user_id": "u", "candidates": ["a", "b"]}] * 3}, 3),
        (
            "/v2/models/liverank/infer",
            {
                "inputs": [
                    {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["u"]},
                    {"name": "candidates", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
                ]
            },
            1,
        ),
    ],
)
def test_each_door_times_each_stage_once_a_list(
    client: httpx.Client, path: str, body: dict[str, Any], lists: int
) -> None:
    def ask() -> None:
        answer = client.post(path, json=body)
        assert answer.status_code == 200, answer.text

    found = gained(client, ask)
    texts = found.pop("texts", 0)
    assert texts == (1 if "rerank" in path else 0)
    once = {"decode", "encode"}
    assert found == {stage: 1 if stage in once else lists for stage in EVERY_RANKING}


def test_stages_add_up_to_no_more_than_the_request(servers: Callable[..., Server]) -> None:
    server = servers().start()
    (server.workspace / "slow").write_text("0.02")
    with server.client() as client:
        rank(client, candidates=["a", {"item_id": "new", "text": "words"}])
        seconds = stages(client, "sum")
        whole = value(client, "liverank_request_seconds_sum", route="POST /v1/rank")
        assert value(client, "liverank_stage_seconds_bucket", stage="model", le="0.015") == 0
    assert seconds["model"] >= 0.02
    assert seconds["texts"] > 0
    assert 0.02 < sum(seconds.values()) <= whole
    assert set(seconds) == set(STAGES)


def test_text_vectors_are_hits_the_second_time(client: httpx.Client) -> None:
    candidates = [{"item_id": "n1", "text": "one text"}, {"item_id": "n2", "text": "another"}]
    before = scraped(client)
    for _ in range(2):
        rank(client, candidates=candidates)
    for outcome in ("hit", "miss"):
        key = ("liverank_cache_lookups_total", frozenset({("cache", "texts"), ("outcome", outcome)}))
        assert scraped(client)[key] - before.get(key, 0) == 2


def test_ages_of_events_and_model(servers: Callable[..., Server]) -> None:
    server = servers().start()
    at = datetime.now(UTC) - timedelta(seconds=20)
    event = {"user_id": "u", "item_id": "a", "type": "click"}
    older = {**event, "event_id": "1", "timestamp": (at - timedelta(days=2)).isoformat()}
    newer = {**event, "event_id": "2", "timestamp": at.isoformat()}
    with server.client() as client:
        assert math.isnan(value(client, "liverank_newest_event_timestamp_seconds"))
        rank(client)
        assert value(client, "liverank_history_age_seconds_count") == 0
        client.put("/v1/items", json={"item_id": "a"})
        assert math.isnan(value(client, "liverank_newest_event_timestamp_seconds"))
        client.post("/v1/events", json=[newer, older])
        rank(client)
        assert value(client, "liverank_history_age_seconds_bucket", le="15.0") == 0
        assert value(client, "liverank_history_age_seconds_count") == 1
        assert value(client, "liverank_history_age_seconds_sum") < 86400
        assert value(client, "liverank_newest_event_timestamp_seconds") == pytest.approx(at.timestamp())
        made = datetime.fromisoformat("2100-01-01T00:00:00+00:00").timestamp()
        assert value(client, "liverank_model_timestamp_seconds") == made


def test_the_newest_event_stays_the_newest() -> None:
    registry = CollectorRegistry()
    freshness = Freshness(registry)

    def event(second: int) -> Interaction:
        return Interaction(
            event_id=str(second),
            user_id="u",
            item_id="a",
            type="click",
            timestamp=datetime.fromtimestamp(second, UTC),
        )

    freshness.acknowledged([event(5), Item(item_id="a"), event(9)])
    freshness.acknowledged([event(7)])
    assert registry.get_sample_value("liverank_newest_event_timestamp_seconds") == 9
    freshness.used(History(["a", "b"], ["click", "click"], [5.0, 9.0]), 12.0)
    freshness.used(History(), 12.0)
    assert registry.get_sample_value("liverank_history_age_seconds_sum") == 3
    freshness.watch(lambda: {"created_at": "yesterday"})
    assert math.isnan(registry.get_sample_value("liverank_model_timestamp_seconds") or 0.0)


def test_laps_are_observed_in_buckets_from_a_quarter_of_a_millisecond() -> None:
    registry = CollectorRegistry()
    counted = Stages(registry)
    counted.take(Lap("lm", 1.0, 1.0002), Lap("lm", 1.0, 1.3), Lap("texts", 0.0, 0.00025), Lap("texts", 0.0, 0.25))
    counted.lap("store", time.perf_counter() - 0.002)

    def within(stage: str, bound: str) -> float | None:
        return registry.get_sample_value("liverank_stage_seconds_bucket", {"stage": stage, "le": bound})

    assert [within("lm", bound) for bound in ("0.00025", "0.25", "+Inf")] == [1, 1, 2]
    assert [within("texts", bound) for bound in ("0.00025", "0.1", "0.25", "+Inf")] == [1, 1, 2, 2]
    assert registry.get_sample_value("liverank_stage_seconds_sum", {"stage": "texts"}) == 0.25025
    assert [within("store", bound) for bound in ("0.001", "+Inf")] == [0, 1]
