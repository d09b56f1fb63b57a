"""The client against the server itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from liverank import client as told
from liverank.client import AsyncClient, Backoff, Candidate, Client, RefusedError
from liverank.events import Interaction
from serving import api, openapi, rerank
from tests.serving.conftest import Server, click


@pytest.fixture(scope="module")
def server(servers: Callable[..., Server]) -> Server:
    return servers(environment={"LIVERANK_TOKEN": "secret"}).start()


@pytest.fixture
def caller(server: Server) -> Iterator[Client]:
    with Client(server.url, token="secret", rank_deadline_ms=20_000) as caller:
        yield caller


def test_the_whole_way(caller: Client) -> None:
    assert caller.items([{"item_id": "a"}, {"item_id": "b"}]).new == 2
    assert caller.events([click(1, "anna", "b")]) == told.Taken(1, 1)
    assert caller.events([click(1, "anna", "b")]) == told.Taken(1, 0)
    struct = Interaction(event_id="s", user_id="anna", item_id="b", type="click", timestamp=datetime.now(UTC))
    assert caller.events([struct]).new == 1
    ranking = caller.rank("anna", ["a", "b", Candidate(item_id="new", text="kettle")], k=2, fallback=False)
    assert (ranking.item_ids, ranking.degraded, ranking.model_version) == (["b", "a"], [], "1")
    reranking = caller.rerank("kettle", ["chair", "kettle"], user_id="anna", return_documents=True, fallback=False)
    assert [line.index for line in reranking.results] == [1, 0]
    assert reranking.results[0].document == {"text": "kettle"}
    assert reranking.degraded == []
    exported = caller.export("anna")
    assert exported.user_id == "anna"
    impressions = {each.get("impression_id") for each in exported.records if each["record"] == "impression"}
    assert impressions == {ranking.impression_id, reranking.id}
    erased = caller.erase("anna")
    assert (erased.erased, erased.model_versions["answered"]) == (4, ["1"])
    assert caller.export("anna").records == []


def test_the_deadline_reaches_the_server(caller: Client, server: Server) -> None:
    (server.workspace / "slow").write_text("3.5")
    try:
        ranking = caller.rank("u", ["b", "a"], deadline_ms=3000)
    finally:
        (server.workspace / "slow").unlink()
    assert ranking.item_ids == ["b", "a"]
    assert ranking.degraded == ["deadline: incoming order"]
    assert ranking.impression_id


def test_a_wrong_token_is_refused(server: Server) -> None:
    with Client(server.url, token="wrong") as caller, pytest.raises(RefusedError) as problem:
        caller.events([click(1)])
    assert problem.value.status == 401


def test_events_wait_for_a_server_that_comes_back(servers: Callable[..., Server]) -> None:
    server = servers("serving.http_port=0").start()
    port = server.url.rpartition(":")[2]
    server.kill(signal.SIGKILL)
    server.settings = (f"serving.http_port={port}",)

    async def send() -> Any:
        async with AsyncClient(server.url, backoff=Backoff(10_000, 0.05, 0.2), deadline_ms=170_000) as caller:
            waiting = asyncio.create_task(caller.events([click(1, "late")]))
            ranking = await caller.rank("late", ["b", "a"])
            await asyncio.to_thread(server.start)
            return ranking, await waiting, await caller.export("late")

    ranking, taken, exported = asyncio.run(send())
    assert ranking.degraded[0].startswith("client: ")
    assert (taken.new, len(exported.records)) == (1, 1)


@pytest.mark.parametrize(
    ("ours", "servers_own"),
    [
        (told.Candidate, api.Candidate),
        (told.RankedItem, api.RankedItem),
        (told.Ranking, api.RankResponse),
        (told.Reranked, rerank.RerankResult),
        (told.Taken, openapi.Taken),
        (told.Exported, openapi.Exported),
        (told.Erased, openapi.Erased),
    ],
)
def test_it_knows_what_the_server_says(ours: type[msgspec.Struct], servers_own: type[msgspec.Struct]) -> None:
    assert ours.__struct_fields__ == servers_own.__struct_fields__
