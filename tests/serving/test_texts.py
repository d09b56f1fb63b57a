from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from liverank.events import Item
from liverank.ranking.protocol import Candidates
from serving.metrics import Metrics
from serving.model import ServedModel
from serving.texts import TextEncoding, told_of_new, without_texts
from tests.serving.conftest import Server, ids
from tests.serving.dummy import DummyBundle

WITHOUT = "texts: {} candidates were scored without their text"


@pytest.fixture(scope="module")
def server(servers: Callable[..., Server]) -> Server:
    return servers("serving.max_new_texts=10", "serving.queue_requests=2").start()


def rank(client: httpx.Client, candidates: Sequence[Any], **fields: Any) -> httpx.Response:
    return client.post("/v1/rank", json={"user_id": "u", "candidates": list(candidates), **fields})


def new(count: int, mark: str = "") -> list[dict[str, str]]:
    return [{"item_id": f"new-{mark}{number}", "text": f"text {mark}{number}"} for number in range(count)]


def test_texts_beyond_the_limit_do_not_count_and_it_says_so(client: httpx.Client) -> None:
    answer = rank(client, ["a", *new(23)])
    assert answer.json()["degraded"] == [WITHOUT.format(13)]
    assert ids(answer)[:11] == [*(f"new-{number}" for number in range(10)), "a"]
    client.put("/v1/items", json=[{"item_id": f"new-{number}"} for number in range(3)])
    assert rank(client, ["a", *new(23)]).json()["degraded"] == [WITHOUT.format(3)], "what was read is not read again"
    assert rank(client, ["a", *new(23)]).json()["degraded"] == []


def test_texts_that_cannot_be_encoded_leave_a_ranking(client: httpx.Client) -> None:
    answer = rank(client, ["a", {"item_id": "b", "text": "unreadable"}])
    assert ids(answer) == ["a", "b"]
    assert answer.json()["degraded"] == [WITHOUT.format(1)]


@pytest.fixture
def slow(server: Server) -> Any:
    """Each new text takes 0.1 s."""
    path = server.workspace / "slow-texts"
    path.write_text("0.1")
    yield
    path.unlink()


@pytest.mark.usefixtures("slow")
def test_new_texts_stall_nobody_else(server: Server, client: httpx.Client) -> None:
    answers: list[httpx.Response] = []

    def ask(mark: str) -> None:
        with server.client() as other:
            answers.append(rank(other, new(8, mark)))

    threads = [threading.Thread(target=ask, args=(mark,)) for mark in "xyz"]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    waits = [rank(client, "abc").json()["timing_ms"]["total"] for _ in range(10)]
    assert max(waits) < 90
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503]


@pytest.mark.usefixtures("slow")
def test_the_deadline_covers_the_texts(client: httpx.Client) -> None:
    answer = rank(client, [*new(8, "late"), "a"], deadline_ms=200).json()
    # Half of the time is the model's.
    assert answer["degraded"] == [WITHOUT.format(8)]
    assert answer["timing_ms"]["total"] < 400


@pytest.mark.usefixtures("slow")
def test_texts_that_were_read_wait_for_nobody(server: Server, client: httpx.Client) -> None:
    read = [{"item_id": "somewhat-new", "text": "text read before"}, "a"]
    assert rank(client, read).json()["degraded"] == []

    def ask(mark: str) -> None:
        with server.client() as other:
            rank(other, new(8, mark))

    threads = [threading.Thread(target=ask, args=(mark,)) for mark in ("first", "second")]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert rank(client, read, deadline_ms=500).json()["degraded"] == []
    assert [thread.is_alive() for thread in threads] == [True, True]
    for thread in threads:
        thread.join()


def test_the_encoder_is_warm_before_the_first_text(tmp_path: Path) -> None:
    bundle = DummyBundle("1", tmp_path / "slow")
    ServedModel("1", bundle).warm_up()
    assert len(bundle._texts) == 1


def test_a_model_without_its_language_model_serves_what_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = DummyBundle("1", tmp_path / "slow")
    monkeypatch.setattr("serving.model.WARM_UP_TEXT", "unreadable")
    with caplog.at_level(logging.WARNING):
        ServedModel("1", bundle).warm_up()
    assert "ranked without their texts: The language model cannot be had." in caplog.text


def test_the_text_of_an_item_that_a_swap_makes_unknown_stays(tmp_path: Path) -> None:
    bundle, metrics = DummyBundle("1", tmp_path / "slow"), Metrics(CollectorRegistry())
    texts = TextEncoding(1, 10, metrics)
    bundle.add_items([Item(item_id="known")])
    given = {"known": "a known text", "new": "a new one", "beyond": "one too many"}
    encoded, lacking = asyncio.run(texts.encoded(bundle, Candidates(list(given), given)))
    texts.close()
    assert encoded.texts == {"known": "a known text", "new": "a new one"}
    assert lacking == (WITHOUT.format(1),)


def test_what_is_told_of_new_items(tmp_path: Path) -> None:
    bundle = DummyBundle("1", tmp_path / "slow")
    bundle.add_items([Item(item_id="known")])
    bundle.remember_texts(["read before"])
    texts = {"known": "a known text", "met": "read before", "new": "a new one", "newer": "read never"}
    given = Candidates(["plain", *texts], texts)
    assert told_of_new(bundle, given) == ({"read before"}, ["new", "newer"])
    assert without_texts(given, {"newer"}).texts == {item: texts[item] for item in ("known", "met", "new")}
    assert without_texts(given, ()) is given
    assert told_of_new(bundle, Candidates(["plain"])) == (set(), [])
