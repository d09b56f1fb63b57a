"""The whole way with real parts: two trained bundles in a real registry, served, explained, swapped, damaged."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from liverank import registry
from liverank.config import Config, EvaluationConfig, InterestConfig, TrainingConfig
from liverank.evaluation.run import evaluate
from liverank.ranking.fit import fit
from liverank.registry import Lineage
from tests.evaluation.world import write_features
from tests.serving.conftest import Server, click, ids

SMALL = InterestConfig(dimension=16, layers=1, history_length=12, batch_steps=128, epochs=1)


@dataclass(frozen=True)
class World:
    config: Config
    items: list[str]
    bundles: list[Path]


def train(base: Path) -> list[Path]:
    write_features(base / "features")
    for seed in (1, 2):
        config = TrainingConfig(threads=1, seed=seed, interest=SMALL)
        fit(base / "features", base / f"bundle-{seed}", config, base / "checkpoints")
    return [base / "bundle-1", base / "bundle-2"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Versions 1 and 2 registered, 1 the champion."""
    import pyarrow.parquet as pq

    base = tmp_path_factory.mktemp("world")
    bundles = train(base)
    config = Config(workspace=str(base / "ws")).resolved()
    (base / "result.json").write_text('{"ok": true, "rows": {}, "set_aside": 0}', encoding="utf-8")
    for number, bundle in enumerate(bundles, 1):
        evaluate(base / "features", bundle, base / f"evaluation-{number}", EvaluationConfig(bootstrap_samples=100))
        lineage = Lineage(data_hash="d" * 64, code_version="1", pipeline_run_id="run")
        registry.register(bundle, base / f"evaluation-{number}", base / "result.json", config.registry, lineage)
    registry.promote(config.registry, "1", "the test starts here")
    return World(config, pq.read_table(base / "features" / "items.parquet")["item_id"].to_pylist(), bundles)


@pytest.fixture(scope="module")
def champion(servers: Callable[..., Server], world: World) -> Server:
    """`liverank serve` on the world's workspace."""
    command = ("-c", "from liverank.cli import main; main()", "serve")
    server = servers(command=command, option="--set")
    server.workspace = Path(world.config.workspace)
    return server.start()


@pytest.fixture
def client(champion: Server) -> httpx.Client:
    return champion.client()


def test_two_versions_of_the_registry_share_a_list(servers: Callable[..., Server], world: World) -> None:
    command = ("-c", "from liverank.cli import main; main()", "serve")
    variants = "serving.experiment.variants"
    names = (f"{variants}.control.model=champion", f"{variants}.new.model=version:2")
    settings = ("serving.experiment.name=duel", "serving.experiment.mode=interleave", *names)
    database = f"registry.tracking_uri={world.config.tracking_uri}"
    server = servers(database, *settings, command=command, option="--set").start()
    with server.client() as client:
        body = {"user_id": "fan", "candidates": world.items[:20], "explain": True}
        answer = client.post("/v1/rank", json=body).json()
        client.post("/v1/events", json=[click(number, "fan", item) for number, item in enumerate(world.items[20:24])])
        later = client.post("/v1/rank", json=body).json()
    # Of each model's lines the user's events are told, by what they do to its own score.
    assert {line["variant"] for line in later["ranking"][:10] if line.get("events")} == {"control", "new"}
    assert (answer["model_version"], answer["degraded"]) == ("1+2", [])
    assert sum(line["variant"] == "new" for line in answer["ranking"]) == 10
    for line in answer["ranking"]:
        assert abs(sum(reason["contribution"] for reason in line["reasons"]) - line["score"]) < 1e-3


def test_it_ranks_and_the_reasons_add_up(client: httpx.Client, world: World) -> None:
    client.post("/v1/events", json=[click(number, "fan", item) for number, item in enumerate(world.items[:6])])
    body = {"user_id": "fan", "candidates": [*world.items[:20], "never-met"], "explain": True}
    answer = client.post("/v1/rank", json=body).json()
    assert answer["model_version"] == "1"
    assert answer["degraded"] == []
    assert len(answer["ranking"]) == 21
    scores = [line["score"] for line in answer["ranking"]]
    assert scores == sorted(scores, reverse=True)
    for line in answer["ranking"]:
        assert len(line["reasons"]) <= 5
        if len(line["reasons"]) < 5:
            assert sum(reason["contribution"] for reason in line["reasons"]) == pytest.approx(line["score"], abs=1e-4)
    assert any(line["reasons"] for line in answer["ranking"])


def test_an_item_never_met_is_scored_by_its_text(client: httpx.Client, world: World) -> None:
    client.post("/v1/events", json=[click(number, "reader", item) for number, item in enumerate(world.items[:6])])

    def score(text: str) -> float:
        body = {"user_id": "reader", "candidates": [*world.items[:5], {"item_id": "never-met", "text": text}]}
        answer = client.post("/v1/rank", json=body).json()
        assert answer["degraded"] == []
        return float(next(line["score"] for line in answer["ranking"] if line["item_id"] == "never-met"))

    assert score("Wireless headphones") != score("Copper kettle")


def test_a_query_ranks_texts_by_what_they_mean(client: httpx.Client, world: World) -> None:
    documents = ["A stainless steel pot to boil water in", "Trousers of blue denim", world.items[0]]
    for query, first in (("kettle", 0), ("jeans", 1)):
        answer = client.post("/v1/rerank", json={"query": query, "documents": documents}).json()
        assert answer["meta"]["warnings"] == []
        texts = [line["index"] for line in answer["results"] if line["index"] < 2]
        assert texts[0] == first


def test_one_event_changes_the_list(client: httpx.Client, world: World) -> None:
    body = {"user_id": "newcomer", "candidates": world.items[:20]}
    before = ids(client.post("/v1/rank", json=body))
    client.post("/v1/events", json=click(1, "newcomer", before[-1]))
    assert ids(client.post("/v1/rank", json=body)) != before


def test_promoted_then_swapped(client: httpx.Client, champion: Server, world: World) -> None:
    fresh = {"item_id": "fresh", "title": "Wireless headphones", "category": "audio"}
    assert client.put("/v1/items", json=fresh).status_code == 200
    registry.promote(world.config.registry, "2", "the test goes on")
    body = {"user_id": "fan", "candidates": [*world.items[:5], "fresh"]}
    first = client.post("/v1/rank", json=body).json()
    assert first["model_version"] == "1"
    answer = client.post("/v2/repository/models/liverank/load")
    assert answer.json() == {"name": "liverank", "version": "2", "state": "READY"}
    second = client.post("/v1/rank", json=body).json()
    assert second["model_version"] == "2"
    assert json.loads((champion.workspace / "server.json").read_text())["version"] == "2"
    erased = client.delete("/v1/users/fan").json()
    assert erased["model_versions"]["answered"] == ["1", "2"]
    assert erased["model_versions"]["may_have_learned"] == []
    assert "data outside this store" in erased["model_versions"]["unknown"]
    assert "before the one that serves" not in erased["model_versions"]["unknown"], "the registry knows them all"


def test_a_damaged_champion_is_refused(
    client: httpx.Client, champion: Server, servers: Callable[..., Server], world: World
) -> None:
    manifest = registry.download(world.config.registry, "1") / "catalogue"
    victim = next(file for file in manifest.iterdir() if file.suffix == ".safetensors")
    victim.write_bytes(victim.read_bytes()[:-10])
    registry.promote(world.config.registry, "1", "the test damages it")
    before = client.post("/v1/rank", json={"user_id": "u", "candidates": world.items[:3]}).json()["model_version"]
    answer = client.post("/v2/repository/models/liverank/load")
    assert answer.status_code == 503
    assert f"Version {before} still serves" in answer.json()["error"]
    assert "altered or truncated" in answer.json()["error"]
    assert client.post("/v1/rank", json={"user_id": "u", "candidates": world.items[:3]}).status_code == 200
    assert champion.kill(signal.SIGTERM) == 143
    assert "Stopped; every accepted record is kept." in champion.output()
    champion.process = champion.launch()
    assert champion.process.wait(60) == 2
    said = champion.output()
    assert "altered or truncated" in said
    assert "Traceback" not in said


def test_a_bundle_folder_as_kserve_mounts_it(servers: Callable[..., Server], world: World, tmp_path: Path) -> None:
    mounted = tmp_path / "models"
    shutil.copytree(world.bundles[1], mounted / "bundle")
    command = ("-m", "serving", "--model_name=ranker", f"--model_dir={mounted}", "--workers=1")
    server = servers("serving.log_format=json", command=command, option="--set").start()
    with server.client() as client:
        assert client.get("/v2/models/ranker/ready").json()["ready"] is True
        version = client.post("/v1/rank", json={"user_id": "u", "candidates": world.items[:3]}).json()["model_version"]
    assert len(version) == 12
    assert server.kill(signal.SIGINT) == 130
    lines = [json.loads(line) for line in server.output().splitlines()]
    assert [(line["level"], line["logger"], line["message"]) for line in lines] == [
        ("INFO", "serving.lifecycle", message)
        for message in (
            "The live store is new; `liverank backfill` fills it with what users did before.",
            "Loading the model ...",
            f"Version {version} serves at {server.url} (gRPC {server.said['grpc']}).",
            "Stopped; every accepted record is kept.",
        )
    ]
