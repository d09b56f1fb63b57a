"""The client against a server that does what it is told: answers, fails, hangs, lies."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from liverank.client import (
    AnswerError,
    AsyncClient,
    Backoff,
    Candidate,
    CircuitBreaker,
    CircuitOpenError,
    Client,
    ClientError,
    DeadlineError,
    ForbiddenError,
    RefusedError,
    UnavailableError,
)
from tests.client.misbehaving import RANKING, Behaviour, Misbehaving, answer, breaks_off, garbage, silence, trickle
from tests.conftest import ROOT

CANDIDATES: list[Any] = ["b", {"item_id": "a", "score": 0.9}, Candidate(item_id="c", text="kettle")]
TAKEN = answer({"accepted": 1, "new": 1}, 202)
CLICK = {"user_id": "u", "item_id": "a", "type": "click", "timestamp": "2026-03-01T12:00:00Z"}
QUICK = Backoff(first=0.001, most=0.002)
BUSY = answer({"error": "Too many wait."}, 503)


def unused() -> str:
    """The address of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def client(server: Misbehaving | str, **options: Any) -> Client:
    return Client(server if isinstance(server, str) else server.url, **{"backoff": QUICK, **options})


def test_a_request_carries_what_was_asked_and_the_deadline() -> None:
    with Misbehaving([answer()]) as server, client(server, token="secret") as caller:
        ranking = caller.rank("u", CANDIDATES, k=2, context={"device": "tv"}, rules={"pin": ["c"]}, deadline_ms=5000)
        assert ranking.model_version == "3"
        caller.rank("u", iter(["a"]))
    (method, path, body), (_, _, plain) = server.requests
    assert (method, path) == ("POST", "/v1/rank")
    assert 0 < body.pop("deadline_ms") <= 4500
    assert body == {
        "user_id": "u",
        "candidates": ["b", {"item_id": "a", "score": 0.9}, {"item_id": "c", "text": "kettle"}],
        "surface": "",
        "explain": False,
        "k": 2,
        "context": {"device": "tv"},
        "rules": {"pin": ["c"]},
    }
    assert plain.keys() == {"user_id", "candidates", "surface", "explain", "deadline_ms"}
    assert plain["deadline_ms"] <= 450


def test_connections_are_kept() -> None:
    with Misbehaving([answer()]) as server, client(server) as caller:
        for _ in range(20):
            caller.rank("u", ["a"], fallback=False, deadline_ms=10_000)
    assert (len(server.requests), server.connections) == (20, 1)


@pytest.mark.parametrize(
    ("behaviour", "kind", "says"),
    [
        (answer({"error": "Candidate 'a' is there twice."}, 400), RefusedError, "refused (400): Candidate"),
        (answer({"error": "token"}, 401), RefusedError, "refused (401): token"),
        (answer({"error": "scope 'events'"}, 403), ForbiddenError, "refused (403): scope 'events'"),
        (answer(b"<html>", 404), RefusedError, "refused (404): status 404 Word"),
        (answer({"error": "Internal error."}, 500), UnavailableError, "Internal error."),
        (answer({"error": "queue"}, 503), UnavailableError, "queue"),
        (answer({"error": "rate"}, 429), UnavailableError, "rate"),
        (answer(b"bad gateway", 502), UnavailableError, "status 502"),
        (answer(b"", 302, location="http://elsewhere/"), UnavailableError, "status 302"),
        (answer(b"<html>"), AnswerError, "not a liverank server's"),
        (answer(b"\xff"), AnswerError, "not a liverank server's"),
        (answer({"ranking": 3}), AnswerError, "not a liverank server's"),
        (answer(b"not gzip", content_encoding="gzip"), UnavailableError, "cannot be reached"),
        (breaks_off, UnavailableError, "cannot be reached"),
        (garbage, UnavailableError, "cannot be reached"),
        (silence, DeadlineError, "no answer within 300 ms"),
        (trickle, DeadlineError, "no answer within 300 ms"),
    ],
)
def test_whatever_happens_the_candidates_come_back(behaviour: Behaviour, kind: type[ClientError], says: str) -> None:
    within = 300 if kind is DeadlineError else 20_000
    with Misbehaving([behaviour]) as server, client(server) as caller:
        ranking = caller.rank("u", CANDIDATES, deadline_ms=within)
        assert ranking.item_ids == ["b", "a", "c"]
        assert [line.position for line in ranking.ranking] == [1, 2, 3]
        assert (ranking.impression_id, ranking.model_version) == ("", "")
        assert len(ranking.degraded) == 1
        assert ranking.degraded[0].startswith("client: ")
        assert says in ranking.degraded[0]
        with pytest.raises(kind) as problem:
            caller.rank("u", CANDIDATES, fallback=False, deadline_ms=within)
        assert type(problem.value) is kind
        reranking = caller.rerank("query", ["x", "y", "z"], top_n=2, deadline_ms=within)
        assert [line.index for line in reranking.results] == [0, 1]
        assert reranking.degraded[0].startswith("client: ")


def test_nobody_there() -> None:
    with client(unused()) as caller:
        assert "cannot be reached" in caller.rank("u", ["b", "a"]).degraded[0]
        with pytest.raises(UnavailableError) as problem:
            caller.events([CLICK])
        assert problem.value.status is None


def test_what_the_caller_rules_out_stays_out() -> None:
    with client(unused()) as caller:
        ranking = caller.rank("u", ["a", "b", "c", "d"], rules={"exclude": ["a"], "pin": ["d"]}, k=2)
    assert ranking.item_ids == ["d", "b"]


def test_a_server_that_is_busy_is_asked_again() -> None:
    with Misbehaving([BUSY, BUSY, answer()]) as server, client(server) as caller:
        assert caller.rank("u", ["a"], fallback=False, deadline_ms=10_000).impression_id == "i"
        told = [body["deadline_ms"] for _, _, body in server.requests]
        assert len(told) == 3
        assert told == sorted(told, reverse=True), "each attempt is told what is left"


def test_it_is_asked_no_sooner_than_it_wants() -> None:
    busy = answer({"error": "queue"}, 503, retry_after="1")
    with Misbehaving([busy, answer()]) as server, client(server) as caller:
        assert caller.rank("u", ["a"], deadline_ms=10_000).degraded == []
        assert server.at[1] - server.at[0] >= 1
    busy = answer({"error": "queue"}, 503, retry_after="100")
    with Misbehaving([busy, answer()]) as server, client(server) as caller:
        assert caller.rank("u", ["a"], deadline_ms=20_000).degraded == ["client: queue"]
        assert len(server.requests) == 1, "nobody waits for what comes too late"


def test_it_is_not_asked_for_ever() -> None:
    with Misbehaving([BUSY]) as server, client(server, backoff=Backoff(2, 0.001, 0.002)) as caller:
        with pytest.raises(UnavailableError, match="Too many wait") as problem:
            caller.export("u")
        assert problem.value.status == 503
        assert len(server.requests) == 3


@pytest.mark.parametrize("failure", [breaks_off, garbage, answer(b"", 502), answer(b"", 504)])
def test_events_are_sent_again_with_the_same_ids(failure: Behaviour) -> None:
    with Misbehaving([failure, failure, TAKEN]) as server, client(server) as caller:
        records = [CLICK, {**CLICK, "event_id": "mine"}, {"record": "item", "item_id": "a"}]
        assert caller.events(records).new == 1
    sent = [body["events"] for _, _, body in server.requests]
    assert len(sent) == 3
    assert sent[0] == sent[1] == sent[2]
    assert len(sent[0][0]["event_id"]) == 32
    assert sent[0][1]["event_id"] == "mine"
    assert sent[0][2] == records[2]


@pytest.mark.parametrize("failure", [breaks_off, answer(b"", 502)])
@pytest.mark.parametrize(
    "call", [lambda caller: caller.rank("u", ["a"], fallback=False), lambda caller: caller.erase("u")]
)
def test_what_may_have_been_done_is_not_done_twice(failure: Behaviour, call: Callable[[Client], Any]) -> None:
    with Misbehaving([failure, answer()]) as server, client(server, rank_deadline_ms=10_000) as caller:
        with pytest.raises(UnavailableError):
            call(caller)
        assert len(server.requests) == 1


def test_a_defect_and_a_refusal_are_not_sent_again() -> None:
    for status, kind in ((400, RefusedError), (413, RefusedError), (500, UnavailableError)):
        with Misbehaving([answer({"error": "no"}, status)]) as server, client(server) as caller:
            with pytest.raises(kind) as problem:
                caller.events([CLICK])
            assert problem.value.status == status
            assert len(server.requests) == 1


def test_an_open_circuit_asks_nobody_until_it_closes() -> None:
    now = [0.0]
    circuit = CircuitBreaker(3, 10, lambda: now[0])
    failure = answer({"error": "defect"}, 500)
    with Misbehaving([failure] * 4 + [answer()]) as server, client(server, circuit=circuit) as caller:
        for _ in range(3):
            assert caller.rank("u", ["a"], deadline_ms=10_000).degraded == ["client: defect"]
        assert caller.circuit.state == "open"
        for _ in range(5):
            ranking = caller.rank("u", ["b", "a"])
            assert (ranking.item_ids, ranking.degraded[0][:27]) == (["b", "a"], "client: the circuit is open")
        with pytest.raises(CircuitOpenError):
            caller.rank("u", ["a"], fallback=False)
        assert len(server.requests) == 3
        now[0] = 10
        assert caller.rank("u", ["a"], deadline_ms=10_000).degraded == ["client: defect"]
        assert caller.rank("u", ["a"]).degraded[0].startswith("client: the circuit is open")
        assert len(server.requests) == 4
        now[0] = 20
        assert caller.rank("u", ["a"], deadline_ms=10_000).degraded == []
        assert caller.circuit.state == "closed"


def test_events_are_delivered_by_an_open_circuit_and_close_it() -> None:
    circuit = CircuitBreaker(1, 1000)
    with Misbehaving([answer(b"", 500), TAKEN, answer()]) as server, client(server, circuit=circuit) as caller:
        assert caller.rank("u", ["a"], deadline_ms=10_000).degraded
        assert circuit.state == "open"
        assert caller.events([CLICK]).accepted == 1
        assert circuit.state == "closed"
        assert caller.rank("u", ["a"], deadline_ms=10_000).degraded == []


def test_refusals_do_not_open_it() -> None:
    refusal = answer({"error": "no"}, 400)
    with Misbehaving([refusal]) as server, client(server, circuit=CircuitBreaker(2, 1000)) as caller:
        for _ in range(4):
            caller.rank("u", ["a"], deadline_ms=10_000)
        assert (len(server.requests), caller.circuit.state) == (4, "closed")


def test_many_calls_at_once() -> None:
    async def calls(url: str) -> set[str]:
        async with AsyncClient(url, rank_deadline_ms=20_000) as caller:
            return {one.model_version for one in await asyncio.gather(*(caller.rank("u", ["a"]) for _ in range(50)))}

    with Misbehaving([answer()]) as server:
        assert asyncio.run(calls(server.url)) == {"3"}
        with client(server, rank_deadline_ms=20_000) as caller, ThreadPoolExecutor(8) as pool:
            assert {one.model_version for one in pool.map(lambda _: caller.rank("u", ["a"]), range(50))} == {"3"}
    assert len(server.requests) == 100


def test_a_forked_process_makes_its_own_connections() -> None:
    with Misbehaving([answer()]) as server, client(server, rank_deadline_ms=10_000) as caller:
        caller.rank("u", ["a"], fallback=False)
        child = os.fork()
        if not child:
            try:
                os._exit(0 if caller.rank("u", ["a"], fallback=False).impression_id == "i" else 3)
            finally:
                os._exit(4)
        deadline = time.monotonic() + 60
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ended == (child, 0)
        assert caller.rank("u", ["a"], fallback=False).impression_id == "i"


def test_user_ids_of_any_kind_stay_in_their_path() -> None:
    users = ["a/b", "..", "ä ?#%", "."]
    with Misbehaving([answer({"user_id": "u", "records": []})]) as server, client(server) as caller:
        for user in users:
            caller.export(user)
        with pytest.raises(ValueError, match="empty"):
            caller.export("")
    paths = [path for _, path, _ in server.requests]
    assert paths == ["/v1/users/a%2Fb", "/v1/users/%2E%2E", "/v1/users/%C3%A4%20%3F%23%25", "/v1/users/%2E"]


def test_half_a_character_is_refused_before_it_is_sent() -> None:
    with Misbehaving([]) as server, client(server) as caller:
        assert [line.item_id for line in caller.rank("\ud800", ["a", "b"]).ranking] == ["a", "b"]
        with pytest.raises(RefusedError, match="not sent"):
            caller.rank("u", ["\ud800"], fallback=False)
        assert caller.circuit.state == "closed"
    assert not server.requests


def test_a_token_is_a_headers_value() -> None:
    with pytest.raises(ValueError, match="ASCII"):
        Client("http://localhost:8080", token="schlüssel")


def test_a_url_must_be_one() -> None:
    for url in ("localhost:8080", "ftp://x", ""):
        with pytest.raises(ValueError, match="http"):
            Client(url)


def test_importing_it_loads_no_model_and_no_server() -> None:
    heavy = {"torch", "kserve", "numpy", "pandas", "pyarrow", "pydantic", "transformers", "serving", "starlette"}
    script = "import sys, liverank.client; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = set(done.stdout.split())
    assert "httpx" in loaded
    assert not loaded & heavy


def test_the_ranking_that_the_tests_answer_with_is_the_servers() -> None:
    from serving.api import RankResponse

    assert RANKING.keys() == set(RankResponse.__struct_fields__) - {
        "costs",
        "experiment",
        "variant",
        "user_id",
    }  # where there are such
