"""The dashboard and the PodMonitor say what servers tell: every query finds something after traffic of every kind."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pyarrow.parquet as pq
import pytest
import yaml

from liverank.config import InterestConfig, TrainingConfig
from liverank.exposition import Scrape, read_exposition
from tests.conftest import ROOT
from tests.evaluation.world import write_bundle, write_features
from tests.infra.test_manifests import find, render, schemas
from tests.serving.conftest import Server, click, servers  # noqa: F401  a fixture

DASHBOARD = json.loads((ROOT / "infra" / "grafana" / "liverank.json").read_text(encoding="utf-8"))
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
QUERIES = [(title, target) for title, panel in PANELS.items() for target in panel["targets"]]

SELECTOR = re.compile(r"\b((?:liverank|process)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
GROUPED = re.compile(r"\bby \(([^)]*)\)")
OF_THE_TARGET = {"instance"}
"""Labels that Prometheus adds to what it scrapes."""
SETTINGS = (
    "serving.experiment.name=spring",
    "serving.experiment.variants.control.share=0.5",
    "serving.experiment.variants.new.share=0.5",
    "serving.experiment.variants.new.model=alias:challenger",
    "serving.shadow.next.model=version:3",
    "serving.shadow.next.share=1",
    "serving.queue_impressions=1",
    "serving.traces_endpoint=http://127.0.0.1:9/v1/traces",
    "serving.tokens.slow.variable=SLOW_TOKEN",
    "serving.tokens.slow.scopes=[rank]",
    'serving.tokens.slow.rate={"per_second": 0.001, "burst": 1}',
    'serving.surfaces={"home": {"diversity": {"method": "mmr"}}}',
)
ALL, SLOW = {"authorization": "Bearer all"}, {"authorization": "Bearer slow"}


def send(client: httpx.Client, status: int, method: str, path: str, body: Any = None, **headers: str) -> None:
    answer = client.request(method, path, json=body, headers=headers)
    assert answer.status_code == status, answer.text


def of_every_kind(server: Server) -> Scrape:
    """Answers, refusals and failures of a server with an experiment, a shadow and tokens, and its metrics then."""
    with server.client(headers=ALL) as client:
        send(client, 200, "PUT", "/v1/items", {"item_id": "a"})
        send(client, 202, "POST", "/v1/events", click(1))
        texts = [{"item_id": "new", "text": "words"}, "a"]
        for _ in range(2):
            send(client, 200, "POST", "/v1/rank", {"user_id": "u", "candidates": texts, "explain": True})
        lists = [{"user_id": f"u{number}", "candidates": ["a", "b"]} for number in range(20)]
        send(client, 200, "POST", "/v1/models/liverank:predict", {"instances": lists})
        send(client, 400, "POST", "/v1/rank", {})
        crash = {"user_id": "u", "candidates": [{"item_id": "x", "text": "crash"}, "b"], "surface": "home"}
        send(client, 500, "POST", "/v1/rank", crash)
        body = {"user_id": "u", "candidates": ["a"]}
        for status in (200, 429):
            send(client, status, "POST", "/v1/rank", body, **SLOW)
        for version, status in (("broken", 503), ("2", 200)):
            (server.workspace / "version").write_text(version)
            send(client, status, "POST", "/v2/repository/models/liverank/load")
        for _ in range(200):
            found = read_exposition(client.get("/metrics").text)
            awaited = ("liverank_shadow_lists_total", "liverank_traces_dropped_total")
            if all(found.total(name) for name in awaited):
                return found
            time.sleep(0.05)
    raise AssertionError("lists on the side, or traces that cannot be sent, were not counted")


def explained(server: Server, items: list[str]) -> Scrape:
    """A trained model's explanations and sentences, and its metrics then."""
    with server.client() as client:
        send(client, 202, "POST", "/v1/events", [click(at, "fan", item) for at, item in enumerate(items[:9:3])])
        send(client, 200, "POST", "/v1/rank", {"user_id": "fan", "candidates": items[9:40], "explain": True})
        return read_exposition(client.get("/metrics").text)


@pytest.fixture(scope="module")
def scrapes(
    servers: Callable[..., Server],  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Scrape]:
    base = tmp_path_factory.mktemp("explained")
    write_features(base / "features", validation=40)
    config = TrainingConfig(threads=1, interest=InterestConfig(enabled=False))
    write_bundle(base / "features", base / "bundle", config=config)
    items = pq.read_table(base / "features" / "items.parquet")["item_id"].to_pylist()
    plain = servers(*SETTINGS, environment={"LIVERANK_TOKEN": "all", "SLOW_TOKEN": "slow"})
    plain.workspace.mkdir(parents=True)
    for reference in ("alias-challenger", "version-3"):
        (plain.workspace / reference).write_text("3")
    command = ("-m", "serving", "--bundle", str(base / "bundle"))
    trained = servers("serving.sentences.top=2", command=command, option="--set")
    return [of_every_kind(plain.start()), explained(trained.start(), items)]


def selected(scrapes: list[Scrape], name: str, matchers: str) -> list[tuple[dict[str, str], float]]:
    """The samples that a selector finds, but for matchers of labels that Prometheus adds."""
    wanted = [each for each in MATCHER.findall(matchers) if each[0] not in OF_THE_TARGET]
    return [
        (dict(labels), value)
        for labels, value in itertools.chain.from_iterable(scrape.of(name) for scrape in scrapes)
        if all(matches(labels.get(label, ""), how, expected) for label, how, expected in wanted)
    ]


def matches(value: str, how: str, expected: str) -> bool:
    found = re.fullmatch(expected, value) is not None if "~" in how else value == expected
    return found is not how.startswith("!")


@pytest.mark.parametrize(("title", "target"), QUERIES, ids=[f"{title} {of['refId']}" for title, of in QUERIES])
def test_every_query_finds_something(scrapes: list[Scrape], title: str, target: dict[str, str]) -> None:
    selectors = SELECTOR.findall(target["expr"])
    assert selectors, "a query without a metric"
    grouped = {label.strip() for labels in GROUPED.findall(target["expr"]) for label in labels.split(",")}
    for name, matchers in selectors:
        found = selected(scrapes, name, matchers)
        assert found, f"{name}{{{matchers}}} is not there"
        if name.endswith(("_total", "_count", "_bucket")):
            assert any(value for _, value in found), f"{name}{{{matchers}}} counted nothing"
        for label in grouped - OF_THE_TARGET:
            assert any(label in labels for labels, _ in found), f"{name} has no label {label}"
    shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert shown <= (grouped or OF_THE_TARGET), "the legend names what the query leaves out"


def test_every_metric_of_the_server_is_on_the_dashboard(scrapes: list[Scrape]) -> None:
    asked = {name for _, target in QUERIES for name, _ in SELECTOR.findall(target["expr"])}
    parts = re.compile("_(total|bucket|count|sum|created)$")
    told = {parts.sub("", name) for scrape in scrapes for name in scrape.samples if name.startswith("liverank_")}
    assert told - {parts.sub("", name) for name in asked} == set()


def test_panels_have_places_and_sources_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert {panel["datasource"]["uid"] for panel in PANELS.values()} == {"${datasource}"}
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "instance"}
    assert all('instance=~"$instance"' in target["expr"] for _, target in QUERIES)


def test_the_dashboard_is_a_config_map_that_grafana_finds() -> None:
    config_map = find(render(Path("..") / "grafana"), "ConfigMap")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config_map["data"]["liverank.json"]) == DASHBOARD


def test_the_pod_monitor_follows_its_schema_and_finds_the_pods() -> None:
    monitor = yaml.safe_load((ROOT / "infra" / "prometheus" / "podmonitor.yaml").read_text(encoding="utf-8"))
    base = render(Path("..") / "base")
    service, runtime = find(base, "InferenceService"), find(base, "ServingRuntime")
    assert monitor["metadata"]["namespace"] == service["metadata"]["namespace"]
    assert monitor["spec"]["selector"]["matchLabels"] == {
        "serving.kserve.io/inferenceservice": service["metadata"]["name"]
    }
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    ports = {port["containerPort"] for port in runtime["spec"]["containers"][0]["ports"]}
    assert endpoint["portNumber"] in ports
    schema = json.loads((schemas() / "monitoring.coreos.com" / "podmonitor_v1.json").read_text())
    jsonschema.validate(monitor, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**monitor, "spec": {**monitor["spec"], "podMetricsEndpoint": []}}, schema)
