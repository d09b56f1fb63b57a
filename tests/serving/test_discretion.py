"""No error writes a user's id, a text or an item's id into the server's log."""

from __future__ import annotations

import asyncio
import io
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from liverank.errors import DataError, StoreError
from liverank.store import open_store
from serving.discretion import discreet_logs, on_loop_problem, trace_without_content, without_content
from serving.log import LogWriter
from serving.troubles import Troubles
from tests.serving.conftest import ROOT, Server

USER, TEXT, ITEM = "anna.private", "crash on private words", "item-private"
GRPC = """
import asyncio, sys
import grpc
from kserve import InferenceGRPCClient, InferInput, InferRequest

async def main():
    client = InferenceGRPCClient(sys.argv[1], timeout=10, channel_args=[("grpc.enable_retries", 0)])
    request = InferRequest("liverank", [InferInput("user_id", [1], "BYTES", data=[b"anna.private"]),
                                        InferInput("candidates", [2], "BYTES", data=[b"item-private", b"b"])],
                           parameters={"surface": "home"})
    try:
        await client.infer(request)
    except grpc.RpcError as problem:
        print(problem.code().name)
    await client.close()

asyncio.run(main())
"""


@pytest.fixture
def discreet(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is logged while the server's rule for logs holds."""
    # A server made in this process by another test leaves these loggers with handlers of their own.
    for name in ("uvicorn", "uvicorn.error", "kserve"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
    former, told = logging.getLogRecordFactory(), io.StringIO()
    handler = logging.StreamHandler(told)
    discreet_logs()
    logging.getLogger().addHandler(handler)
    yield told
    logging.getLogger().removeHandler(handler)
    logging.setLogRecordFactory(former)


def test_provoked_errors_at_every_door_leave_the_log_without_content(servers: Callable[..., Server]) -> None:
    server = servers('serving.surfaces={"home": {"diversity": {"method": "mmr"}}}').start()
    candidate = {"item_id": ITEM, "text": TEXT}
    failing = {"user_id": USER, "candidates": [candidate, "b"], "surface": "home"}
    encoding = {"user_id": USER, "candidates": [{"item_id": "other-private", "text": "crash in the encoder private"}]}
    with server.client() as client:
        assert client.put("/v1/items", json=candidate).status_code == 200
        assert client.post("/v1/rank", json=failing).status_code == 500
        assert client.post("/v1/models/liverank:predict", json={"instances": [failing]}).status_code == 500
    # Behind an error that kserve answers, uvicorn closes the connection.
    with server.client() as client:
        documents = [{"id": ITEM, "text": TEXT}, "b"]
        rerank = {"query": "q", "documents": documents, "user": USER, "surface": "home"}
        assert client.post("/v2/rerank", json=rerank).status_code == 500
        said = client.post("/v1/rank", json=encoding).json()["degraded"]
        assert said == ["texts: 1 candidates were scored without their text"]
        poison = {"user_id": USER, "candidates": ["poison", candidate]}
        assert client.post("/v1/rank", json=poison).json()["degraded"] == ["model: ValueError"]
        done = subprocess.run(
            [sys.executable, "-c", GRPC, server.said["grpc"]], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.stdout.split() == ["INTERNAL"], done.stderr
        assert client.post("/v1/events", content=f'{{"user_id": "{USER}", ').status_code == 400
        assert client.post("/v1/models/liverank:predict", json={"instances": [{"user_id": USER}]}).status_code == 400
    server.kill()
    log = server.output()
    assert "POST /v1/rank failed" in log
    assert "POST /v2/rerank failed" in log
    assert "1 texts cannot be encoded: KeyError" in log
    assert "The model failed on a list of 2 candidates." in log
    assert "Internal server error: ValueError" in log
    assert log.count("Traceback") >= 5
    assert "private" not in log


def test_an_append_that_the_store_refuses_is_not_quoted(discreet: io.StringIO, tmp_path: Path) -> None:
    class Refusing:
        def append_batches(self, batches: Any) -> list[int]:
            raise DataError(f"This is no record: {USER}")

    writer = LogWriter(cast(Any, Refusing()), 10, lambda count: None)
    with pytest.raises(DataError):
        asyncio.run(writer.write([]))
    writer.close()
    assert "The live store refused an append." in discreet.getvalue()
    assert "DataError" in discreet.getvalue()
    assert "private" not in discreet.getvalue()


def test_a_store_that_is_away_is_named(discreet: io.StringIO, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "live.db"))
    store.close()
    Troubles().say(StoreError("The live store cannot be written."))
    Troubles().say(DataError(f"user {USER}"))
    assert discreet.getvalue() == "The live store cannot be written.\nDataError\n"


def test_libraries_that_log_an_exception_quote_nothing_either(discreet: io.StringIO) -> None:
    try:
        try:
            raise KeyError(USER)
        except KeyError as problem:
            raise ValueError(TEXT) from problem
    except ValueError as problem:
        logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=problem)
        logging.getLogger("kserve").error("Internal server error: %s, grpc_method: %s", problem, "m", exc_info=True)
        logging.getLogger("other").error(problem)
    told = discreet.getvalue()
    assert "Internal server error: ValueError, grpc_method: m" in told
    assert told.count("KeyError\n\nwhich led to\n\nTraceback") == 2
    assert told.endswith("\nValueError\n")
    assert "private" not in told


def test_a_task_that_nobody_awaits_is_not_quoted(discreet: io.StringIO) -> None:
    async def fail() -> None:
        raise ValueError(TEXT)

    async def forget() -> None:
        asyncio.get_running_loop().set_exception_handler(on_loop_problem)
        task = asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    asyncio.run(forget())
    assert "never retrieved" in discreet.getvalue()
    assert "ValueError" in discreet.getvalue()
    assert "private" not in discreet.getvalue()


def test_own_errors_speak_but_for_those_about_data() -> None:
    assert without_content(StoreError("It is away.", "Start it.")) == "It is away. Start it."
    assert without_content(DataError("user anna")) == "DataError"
    assert trace_without_content(ValueError("anna")) == "Traceback (most recent call last):\nValueError"
