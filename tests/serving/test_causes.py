"""Events behind the shown items: found where there is time, in the order shown, and said to be missing otherwise."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from liverank.config import ServingConfig, TrainingConfig
from liverank.config.serving import SentencesConfig
from liverank.config.training import InterestConfig
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.protocol import Candidates, Context, Request
from serving.api import RankedItem
from serving.batching import MicroBatcher
from serving.causes import FAILED, NO_TIME, Causes
from serving.explaining import EventEffects, contributions, scored_by_blend, scored_lists
from serving.telling import SentenceWriter
from tests.evaluation.world import write_bundle, write_features
from tests.ranking.contract import NOW, history_of
from tests.serving.conftest import Server, click


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("causes")
    write_features(base / "features", validation=40)
    config = TrainingConfig(threads=1, interest=InterestConfig(enabled=False))
    write_bundle(base / "features", base / "bundle", config=config)
    return base / "bundle"


@pytest.fixture(scope="module")
def items(folder: Path) -> list[str]:
    names: list[str] = pq.read_table(folder.parent / "features" / "items.parquet")["item_id"].to_pylist()
    return names


@pytest.fixture(scope="module")
def client(servers: Callable[..., Server], folder: Path) -> httpx.Client:
    command = ("-m", "serving", "--bundle", str(folder))
    keys = ("serving.explain_items=4", "serving.explain_events=2", "serving.sentences.top=2")
    return servers(*keys, command=command, option="--set").start().client()


# Through the server.


def test_the_first_items_name_the_events_behind_them(client: httpx.Client, items: list[str]) -> None:
    had = items[:9:3]  # of one kind
    client.post("/v1/events", json=[click(at, "fan", item) for at, item in enumerate([*had, had[0]])])
    body = {"user_id": "fan", "candidates": items[9:40], "explain": True, "rules": {"pin": [items[10]]}}
    answer = client.post("/v1/rank", json=body).json()
    assert answer["degraded"] == []
    lines = answer["ranking"]
    assert all("events" in line for line in lines[:4])
    assert not any("events" in line for line in lines[4:])
    assert all(line["reasons"] for line in lines)
    named = [event for line in lines[:4] for event in line["events"]]
    assert named
    assert {event["item_id"] for event in named} <= set(had)
    for event in named:
        assert set(event) <= {"item_id", "type", "timestamp", "effect", "events"}
        assert event["type"] == "click"
        assert event["timestamp"].startswith("2026-03-01T12:00:0")
        assert event.get("events", 1) == (2 if event["item_id"] == had[0] else 1)
    assert [bool(line.get("sentence")) for line in lines[:4]] == [True, True, False, False]


def test_the_effect_is_what_the_server_itself_says_without_the_events(client: httpx.Client, items: list[str]) -> None:
    """An item that only its events ask for, in a list that keeps its scales: others ask for the best of it still."""
    had = [items[0], items[3], items[6]]
    client.post("/v1/events", json=[click(at, "whole", item) for at, item in enumerate(had)])
    body = {"user_id": "whole", "candidates": items[9:40], "k": 3, "explain": True}
    lines = client.post("/v1/rank", json=body).json()["ranking"]
    strong = [event for event in lines[0]["events"] if abs(event["effect"]) > 0.1]
    assert strong
    for event in strong:
        rest = [item for item in had if item != event["item_id"]]
        user = f"without-{event['item_id']}"
        client.post("/v1/events", json=[click(had.index(item), user, item) for item in rest])
        again = client.post("/v1/rank", json={**body, "user_id": user, "k": 31}).json()["ranking"]
        score = next(line["score"] for line in again if line["item_id"] == lines[0]["item_id"])
        assert (lines[0]["score"] - score) * event["effect"] > 0


def test_without_a_history_there_are_no_events_and_nothing_is_degraded(client: httpx.Client, items: list[str]) -> None:
    body = {"user_id": "nobody", "candidates": [*items[:5], "never-met"], "explain": True}
    answer = client.post("/v1/rank", json=body).json()
    assert answer["degraded"] == []
    assert [line["events"] for line in answer["ranking"][:4]] == [[]] * 4
    assert answer["ranking"][0]["sentence"].startswith("Picked for you")


def test_who_did_not_ask_is_told_nothing(client: httpx.Client, items: list[str]) -> None:
    lines = client.post("/v1/rank", json={"user_id": "fan", "candidates": items[:9]}).json()["ranking"]
    assert not any({"events", "reasons", "sentence"} & set(line) for line in lines)


# In the process.


@pytest.fixture(scope="module")
def blend(folder: Path) -> Any:
    return load_bundle(folder).primary


def request_of(items: list[str], past: list[str]) -> Request:
    return Request(history_of(past), Candidates(items[9:40]), Context(NOW), "u")


def test_explained_lists_have_the_scores_of_the_others(blend: Any, items: list[str]) -> None:
    requests = [request_of(items, items[at : at + 5]) for at in range(4)]
    lists = scored_lists(blend, requests, [True, False, True, False])
    expected = blend.score_batch(requests)
    for found, scores, wanted in zip(lists, expected, (True, False, True, False), strict=True):
        assert hasattr(found, "effects") == wanted
        assert (found.scores if wanted else found).tolist() == scores.tolist()
    told = contributions(lists[0], lists[0].scores)
    assert {reason.signal for reason in told.reasons(0)} <= set(blend.signal_names)


def test_a_ranker_that_is_no_blend_has_no_effects(items: list[str], folder: Path) -> None:
    assert scored_by_blend(load_bundle(folder).rankers["count"], request_of(items, items[:3])) is None


def told(effects: Any, deadline: float | None = None, **settings: Any) -> tuple[list[RankedItem], tuple[str, ...]]:
    """What `Causes` makes of three lines on a thread of the model's."""
    config = ServingConfig(**settings)
    lines = [RankedItem(f"i{at}", 1.0 - at, at + 1) for at in (2, 0, 1)]

    async def run() -> tuple[list[RankedItem], tuple[str, ...]]:
        batcher: MicroBatcher[int, int] = MicroBatcher(list, 1, 1)
        try:
            causes = Causes(config, SentenceWriter(SentencesConfig(), lambda _: None), batcher.beside)
            return await causes.told(lines, ["i0", "i1", "i2"], effects, deadline)
        finally:
            await batcher.close()

    return asyncio.run(run())


class Told:
    """Effects that say what they were asked, and where."""

    def __init__(self, seconds: float = 0.0, problem: Exception | None = None) -> None:
        self.seconds, self.problem, self.asked, self.thread = seconds, problem, (), ""

    def reasons(self, places: list[int], most: int) -> list[list[Any]]:
        self.asked, self.thread = (places, most), threading.current_thread().name
        time.sleep(self.seconds)
        if self.problem is not None:
            raise self.problem
        return [[] for _ in places]


def test_it_is_asked_about_the_shown_lines_where_the_model_scores() -> None:
    effects = Told()
    lines, lacking = told(effects, explain_items=2, explain_events=7)
    assert lacking == ()
    assert [line.events for line in lines] == [[], [], None]
    assert effects.asked == ([2, 0], 7)
    assert effects.thread.startswith("model")


def test_a_deadline_leaves_them_out_and_says_so() -> None:
    for effects, left in ((Told(), -1.0), (Told(seconds=0.5), 0.05)):
        lines, lacking = told(effects, time.perf_counter() + left)
        assert lacking == (NO_TIME,)
        assert [line.events for line in lines] == [None] * 3


def test_a_model_that_fails_leaves_the_ranking_and_says_so() -> None:
    lines, lacking = told(Told(problem=ValueError("shape")))
    assert lacking == (FAILED,)
    assert [line.item_id for line in lines] == ["i2", "i0", "i1"]


def test_nothing_to_explain_is_nothing_lacking() -> None:
    assert told(None)[1] == ()


def test_an_event_without_effect_is_not_named(blend: Any, items: list[str]) -> None:
    """No transition, text or taste leads from an unknown item to anything."""
    scored = scored_by_blend(blend, request_of(items, ["nobody-knows-it"]))
    assert scored is not None
    assert EventEffects(scored, "served").reasons([0, 1], 5) == [[], []]
