"""Experiments through a real server: who gets what, what is said of it, what happens when a model is missing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from liverank.config import FeatureConfig
from liverank.events import Impression
from liverank.experiments.assignment import Assignment
from liverank.experiments.outcomes import of_store
from liverank.experiments.report import report
from liverank.store import open_store
from tests.serving.conftest import Server, click

Servers = Callable[..., Server]

SPLIT = (
    "serving.experiment.name=spring",
    "serving.experiment.variants.control.share=0.5",
    "serving.experiment.variants.new.share=0.5",
    "serving.experiment.variants.new.model=alias:challenger",
)
INTERLEAVED = (
    "serving.experiment.name=duel",
    "serving.experiment.mode=interleave",
    "serving.experiment.variants.control.model=champion",
    "serving.experiment.variants.new.model=version:7",
    "serving.surfaces.ruled.exclude=[b]",
    "serving.surfaces.ruled.pin=[e]",
)


def place(server: Server, reference: str, version: str) -> None:
    server.workspace.mkdir(parents=True, exist_ok=True)
    (server.workspace / reference).write_text(version)


def rank(client: httpx.Client, user: str = "u", candidates: str = "abcdef", **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/rank", json={"user_id": user, "candidates": list(candidates), **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def recorded(server: Server, count: int) -> dict[str, Impression]:
    """The impressions by id, once there are so many."""
    for _ in range(200):
        store = open_store(server.workspace / "live.db")
        found = {of.impression_id: of for _, of in store.export() if isinstance(of, Impression)}
        store.close()
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{len(found)} impressions")


@pytest.fixture(scope="module")
def split(servers: Servers) -> Server:
    server = servers(*SPLIT)
    place(server, "alias-challenger", "9")
    return server.start()


@pytest.fixture
def client(split: Server) -> Iterator[httpx.Client]:
    with split.client() as client:
        yield client


def test_each_user_has_one_variant_in_answer_record_and_metrics(split: Server, client: httpx.Client) -> None:
    assignment = Assignment("spring", {"control": 0.5, "new": 0.5})
    answers = {}
    for user in [f"u{number}" for number in range(20)] * 2:
        answer = rank(client, user)
        answers[answer["impression_id"]] = answer
        variant = assignment.variant(user)
        assert (answer["experiment"], answer["variant"]) == ("spring", variant)
        assert answer["model_version"] == {"control": "1", "new": "9"}[variant]
        assert answer["degraded"] == []
        assert "variant" not in answer["ranking"][0]
    for name, impression in recorded(split, len(answers)).items():
        arm = impression.experiment_arm
        assert arm is not None
        assert (arm.name, arm.variant, arm.teams) == ("spring", answers[name]["variant"], [])
        assert impression.model_version == answers[name]["model_version"]
    told = client.get("/metrics").text
    news = sum(answer["variant"] == "new" for answer in answers.values())
    assert f'liverank_variant_rankings_total{{experiment="spring",variant="new",version="9"}} {news}.0' in told
    assert f'liverank_variant_seconds_count{{experiment="spring",variant="new"}} {news}.0' in told


def test_the_report_reads_what_the_server_recorded(split: Server, client: httpx.Client) -> None:
    answers = [rank(client, f"reader{number}") for number in range(6)]
    for number, answer in enumerate(answers):
        event = click(number, f"reader{number}") | {"impression_id": answer["impression_id"]}
        assert client.post("/v1/events", json=event).status_code == 202
    recorded(split, len(answers))
    store = open_store(split.workspace / "live.db")
    found = report(partial(of_store, store), "", "ctr", FeatureConfig(), None, 0.05, 1000)
    store.close()
    for of in found.variants:
        assert of.mean * of.lists == pytest.approx(sum(answer["variant"] == of.name for answer in answers))


def test_both_models_know_items_and_events_of_now(client: httpx.Client) -> None:
    assert client.put("/v1/items", json={"item_id": "c"}).status_code == 200
    assignment = Assignment("spring", {"control": 0.5, "new": 0.5})
    for variant in ("control", "new"):
        user = next(f"w{n}" for n in range(99) if assignment.variant(f"w{n}") == variant)
        client.post("/v1/events", json=click(1, user, "f"))
        assert [line["item_id"] for line in rank(client, user)["ranking"]] == ["f", "c", "a", "b", "d", "e"]


def test_lists_of_both_variants_in_one_call(client: httpx.Client) -> None:
    users = [f"p{number}" for number in range(12)]
    body = {"instances": [{"user_id": user, "candidates": ["a", "b"]} for user in users]}
    said = client.post("/v1/models/liverank:predict", json=body).json()["predictions"]
    assignment = Assignment("spring", {"control": 0.5, "new": 0.5})
    assert [each["variant"] for each in said] == [assignment.variant(user) for user in users]
    assert {(each["variant"], each["model_version"]) for each in said} == {("control", "1"), ("new", "9")}


def test_a_rerank_request_is_ranked_by_the_users_variant(client: httpx.Client) -> None:
    assignment = Assignment("spring", {"control": 0.5, "new": 0.5})
    user = next(f"r{n}" for n in range(99) if assignment.variant(f"r{n}") == "new")
    answer = client.post("/v2/rerank", json={"query": "a", "documents": ["a b", "c"], "user_id": user}).json()
    assert answer["meta"]["model_version"] == "9"


def test_a_missing_variant_leaves_the_control_to_its_users(servers: Servers) -> None:
    server = servers(*SPLIT)
    place(server, "alias-challenger", "broken")
    server.start()
    assignment = Assignment("spring", {"control": 0.5, "new": 0.5})
    user = next(f"u{n}" for n in range(99) if assignment.variant(f"u{n}") == "new")
    other = next(f"u{n}" for n in range(99) if assignment.variant(f"u{n}") == "control")
    with server.client() as client:
        answer = rank(client, user)
        assert (answer["variant"], answer["model_version"]) == ("new", "1")
        assert answer["degraded"] == ["experiment: new cannot be served, control ranked"]
        assert rank(client, other)["degraded"] == []
        assert 'liverank_degraded_total{reason="experiment"} 1.0' in client.get("/metrics").text
        place(server, "alias-challenger", "8")
        assert client.post("/v2/repository/models/liverank/load").status_code == 200
        assert (rank(client, user)["model_version"], rank(client, user)["degraded"]) == ("8", [])
        # What was loaded stays when its successor cannot be.
        place(server, "alias-challenger", "broken")
        place(server, "version", "2")
        assert client.post("/v2/repository/models/liverank/load").status_code == 200
        assert [rank(client, name)["model_version"] for name in (user, other)] == ["8", "2"]


def test_without_an_experiment_nothing_is_said_of_one(server: Server) -> None:
    with server.client() as client:
        answer = rank(client)
    assert "experiment" not in answer
    assert "variant" not in answer


def test_interleaved_lists_name_the_team_of_each_line(servers: Servers) -> None:
    server = servers(*INTERLEAVED)
    place(server, "version-7", "7")
    server.start()
    with server.client() as client:
        client.post("/v1/events", json=[click(number, "u", item) for number, item in enumerate("ffd")])
        answers = [rank(client, k=4) for _ in range(30)] + [rank(client, surface="ruled") for _ in range(10)]
    for answer in answers:
        assert (answer["experiment"], answer["model_version"], answer["degraded"]) == ("duel", "1+7", [])
        assert "variant" not in answer
    for answer in answers[:30]:
        lines = answer["ranking"]
        # Both models of the dummy rank alike, so that the teams are all there is to draw.
        assert [line["item_id"] for line in lines] == ["f", "d", "a", "b"]
        assert [line["score"] for line in lines] == [2.0, 1.0, 0.0, 0.0]
        assert {lines[0]["variant"], lines[1]["variant"]} == {"control", "new"}
    assert {answer["ranking"][0]["variant"] for answer in answers[:30]} == {"control", "new"}
    for answer in answers[30:]:
        lines = answer["ranking"]
        assert [line["item_id"] for line in lines] == ["e", "f", "d", "a", "c"]
        assert "variant" not in lines[0], "a pinned line is no team's"
        assert {lines[1]["variant"], lines[2]["variant"]} == {"control", "new"}
    found = recorded(server, len(answers))
    for answer in answers:
        impression = found[answer["impression_id"]]
        assert impression.experiment_arm is not None
        assert impression.experiment_arm.teams == [line.get("variant", "") for line in answer["ranking"]]
        assert [line.propensity for line in impression.shown] == [None] * len(impression.shown)


def test_interleaving_without_the_other_model_is_the_champions_list(servers: Servers) -> None:
    server = servers(*INTERLEAVED)
    place(server, "version-7", "broken")
    server.start()
    with server.client() as client:
        answer = rank(client)
    assert answer["model_version"] == "1"
    assert answer["degraded"] == ["experiment: new cannot be served, not interleaved"]
    assert "variant" not in answer["ranking"][0]


def test_a_model_on_the_side_is_compared_and_shows_nothing(servers: Servers) -> None:
    server = servers("serving.shadow.next.model=version:3", "serving.shadow.next.share=1", "serving.shadow_queue=500")
    place(server, "version-3", "3")
    server.start()
    with server.client() as client:
        answers = [rank(client) for _ in range(20)]
        assert {answer["model_version"] for answer in answers} == {"1"}
        counted = re.compile(r'liverank_shadow_lists_total\{outcome="compared",shadow="next"\} 20\.0')
        for _ in range(200):
            told = client.get("/metrics").text
            if counted.search(told):
                break
            time.sleep(0.05)
    assert 'liverank_shadow_overlap_sum{shadow="next"} 20.0' in told
    assert 'liverank_shadow_discordance_sum{shadow="next"} 0.0' in told
    assert 'liverank_shadow_discordance_count{shadow="next"} 20.0' in told
    assert len(recorded(server, 20)) == 20
