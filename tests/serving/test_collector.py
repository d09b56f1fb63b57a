"""The collector as a process: what it takes is on disk, what it refuses it says, and it is guarded."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cloudevents.conversion import to_binary, to_structured

from liverank.config.data import DataConfig, SourceConfig
from liverank.data.cloudevents import REQUEST, RESPONSE
from liverank.data.ingest import ingest
from liverank.events import Impression
from liverank.pseudonyms import Pseudonyms
from liverank.store import open_store
from serving.event_files import EventFiles, FullError
from tests.data.reading import read
from tests.data.test_cloudevents import ASKED, event, own, pair, shown
from tests.serving.conftest import ROOT, Server
from tests.serving.test_logs import TRACE, TRACEPARENT
from tests.serving.test_tracing import Collector as OtlpCollector
from tests.serving.test_tracing import attributes

KEY = "a long secret of the operator's"


@dataclass
class Receiver:
    folder: Path
    url: str
    process: subprocess.Popen[str]

    def send(self, one: Any, convert: Callable[..., Any] = to_binary, **headers: str) -> httpx.Response:
        given, body = convert(one)
        return httpx.post(self.url, headers={**given, **headers}, content=body, timeout=30)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@contextmanager
def receiver(folder: Path, *options: str, **environment: str) -> Iterator[Receiver]:
    command = [sys.executable, "-c", "from liverank.cli import main; main()", "data", "receive", str(folder)]
    process = subprocess.Popen(
        [*command, "--port", "0", *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("Events are taken at "), line + process.stderr.read()
        yield Receiver(folder, line.split()[4].removesuffix("."), process)
    finally:
        process.kill()
        process.wait(30)


def test_what_is_taken_survives_kill_9_and_is_read_as_impressions(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "events"
    with receiver(folder) as collector:
        events = [half for number in range(12) for half in own(number)]
        sent = [(one, to_structured if place % 2 else to_binary) for place, one in enumerate(events)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda given: collector.send(*given), [*sent, *sent[:5]]))
        assert {answer.status_code for answer in answers} == {202}
        told = httpx.get(collector.url.replace("/v1/cloudevents", "/metrics")).text
        assert 'liverank_inference_events_total{kind="response",outcome="taken"} 14.0' in told
        collector.stop(signal.SIGKILL)
    with receiver(folder) as collector:
        assert collector.send(own(12)[0]).status_code == 202
        assert collector.send(own(12)[1]).status_code == 202
        code, said = collector.stop()
    assert (code, said) == (128 + signal.SIGTERM, "Stopped; every event that was taken is kept.\n")
    found = read(folder)
    assert {one.impression_id for one in shown(found)} == {f"i{number}" for number in range(13)}
    assert found.notes == ["5 events were delivered more than once, and count once."]
    assert found.rejected.num_rows == 0
    assert len(list(folder.iterdir())) == 2, "a file of each process"


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    request, response = pair(1)
    with receiver(tmp_path, "--set", "serving.max_body_bytes=20000") as collector:
        for one, why in (
            (event("ping", 1, ASKED), "Invalid enum value 'ping'"),
            (event(REQUEST, 1, {"events": []}), "It asks for no ranking"),
            (event(RESPONSE, 1, {"accepted": 1, "new": 1}), "It gives no ranking"),
            (event(REQUEST, 1, {**ASKED, "user_id": ""}), "user_id"),
            (event(REQUEST, "x" * 1025, ASKED), "length <= 1024"),
        ):
            for convert in (to_binary, to_structured):
                answer = collector.send(one, convert)
                assert (answer.status_code, why in answer.json()["error"]) == (400, True), answer.text
        for body, headers in ((b"{", {}), (b"", {}), (b"\xff\xfe", {}), (b"[1]", {})):
            kept, _ = to_binary(request)
            assert httpx.post(collector.url, content=body, headers={**kept, **headers}).status_code == 400
        assert httpx.post(collector.url, json=ASKED).status_code == 400
        assert httpx.get(collector.url).status_code == 405
        assert httpx.post(collector.url.replace("cloud", "other-"), json=ASKED).status_code == 404
        assert collector.send(event(REQUEST, 1, {**ASKED, "surface": "x" * 20_000})).status_code == 413
        told = httpx.get(collector.url.replace("/v1/cloudevents", "/metrics")).text
        assert 'liverank_inference_events_total{kind="request",outcome="refused"} 4.0' in told
        assert {collector.send(half).status_code for half in (response, request)} == {202}
    assert [one.impression_id for one in shown(read(tmp_path))] == ["i1"]


def test_it_logs_as_the_model_server_does(tmp_path: Path) -> None:
    settings = ("serving.log_format=json", "serving.access_log=true", "serving.max_body_bytes=20000")
    bad = event(REQUEST, 2, {"events": ["private"], "user_id": "anna.private"})
    with receiver(tmp_path, *(word for setting in settings for word in ("--set", setting))) as collector:
        sent = [
            collector.send(pair(1)[0], **{"x-request-id": "good"}),
            collector.send(bad, **{"x-request-id": "bad"}),
            collector.send(bad, **{"x-request-id": "again"}),
            collector.send(event(REQUEST, 1, {**ASKED, "surface": "x" * 20_000}), **{"x-request-id": "large"}),
            collector.send(pair(1)[0], **{"x-request-id": "foreign", "origin": "https://elsewhere.example"}),
            httpx.get(collector.url.replace("/v1/cloudevents", "/metrics"), headers={"x-request-id": "scrape"}),
        ]
        _, said = collector.stop()
    assert [answer.headers.get_list("x-request-id") for answer in sent] == [
        ["good"], ["bad"], ["again"], ["large"], ["foreign"], ["scrape"],
    ]  # fmt: skip
    *logged, stopped = said.splitlines()
    assert stopped.startswith("Stopped")
    lines = [json.loads(line) for line in logged]
    calls = [line for line in lines if line["logger"] == "serving.access_log"]
    assert [(line["request_id"], line["route"], line["status"]) for line in calls] == [
        ("good", "POST /v1/cloudevents", 202),
        ("bad", "POST /v1/cloudevents", 400),
        ("again", "POST /v1/cloudevents", 400),
        ("large", "other", 413),
        ("foreign", "other", 403),
        ("scrape", "GET /metrics", 200),
    ]
    (warning,) = [line for line in lines if line not in calls]
    assert (warning["level"], warning["request_id"]) == ("WARNING", "bad")
    assert "Events are refused" in warning["message"]
    assert "private" not in said


def test_its_calls_are_traced(tmp_path: Path) -> None:
    spans = OtlpCollector()
    try:
        with receiver(tmp_path, "--set", f"serving.traces_endpoint={spans.endpoint}") as collector:
            collector.send(pair(1)[0], traceparent=TRACEPARENT)
            httpx.get(collector.url.replace("/v1/cloudevents", "/metrics"))
            collector.send(event(REQUEST, 2, {"events": []}))
            collector.stop()
        taken, refused = spans.roots(2)
    finally:
        spans.close()
    assert (taken.name, taken.trace_id.hex()) == ("POST /v1/cloudevents", TRACE)
    assert [attributes(span)["http.response.status_code"] for span in (taken, refused)] == [202, 400]


def test_the_model_server_does_not_come_with_it() -> None:
    command = [sys.executable, "-c", "import sys, serving.collector; print(*sys.modules)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    found = set(done.stdout.split())
    assert "serving.collector" in found
    assert not found & {"kserve", "fastapi", "grpc", "serving.service", "serving.server"}


def test_a_token_is_asked_for_also_as_a_password(tmp_path: Path) -> None:
    request, _ = pair(1)
    options = ("--set", 'serving.tokens={"log": {"variable": "LOG", "scopes": ["events"]}}')
    with receiver(tmp_path, *options, LIVERANK_TOKEN="secret", LOG="of-the-log") as collector:
        assert collector.send(request).status_code == 401
        assert collector.send(request, authorization="Bearer wrong").status_code == 401
        for token in ("secret", "of-the-log"):
            assert collector.send(request, authorization=f"Bearer {token}").status_code == 202
            basic = base64.b64encode(f"logger:{token}".encode()).decode()
            assert collector.send(request, authorization=f"Basic {basic}").status_code == 202
        assert collector.send(request, authorization="Basic ?").status_code == 401
        assert collector.send(request, authorization="Basic " + base64.b64encode(b"secret").decode()).status_code == 401


def test_without_a_token_it_stays_on_this_machine(tmp_path: Path) -> None:
    with receiver(tmp_path) as collector:
        assert collector.send(pair(1)[0], origin="https://elsewhere.example").status_code == 403
    command = [sys.executable, "-c", "from liverank.cli import main; main()", "data", "receive", str(tmp_path)]
    command += ["--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "needs a token" in done.stderr


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-c", "from liverank.cli import main; main()", "data", "receive", str(tmp_path / "file")]
    done = subprocess.run([*command, "--port", "0"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True), done.stderr


def test_with_a_key_only_pseudonyms_reach_the_disk(tmp_path: Path) -> None:
    names = Pseudonyms(KEY.encode())
    with receiver(tmp_path, "--set", "serving.pseudonym_variable=SECRET", SECRET=KEY) as collector:
        for half in pair(1, {**ASKED, "session_id": "visit.raw", "user_id": "anna.raw"}):
            assert collector.send(half).status_code == 202
    assert b".raw" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    (found,) = shown(read(tmp_path))
    assert (found.user_id, found.session_id) == (names.user("anna.raw"), names.session("visit.raw"))


def test_the_logger_tells_what_the_server_recorded(servers: Callable[..., Server], tmp_path: Path) -> None:
    """Bodies of the real server, wrapped as KServe's agent does, give the impressions that the server wrote itself."""
    server = servers(
        "serving.experiment.name=spring",
        "serving.experiment.variants.control.share=0.5",
        "serving.experiment.variants.new.share=0.5",
        "serving.surfaces.drawn.exploration={share: 1}",
    ).start()
    named = {"user_id": "anna", "candidates": ["a", {"item_id": "b", "text": "x"}, "c"], "session_id": "s"}
    at = {"context": {"timestamp": "2026-03-01T12:00:00Z", "device": "tv"}}
    tensors = [{"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["anna"]},
               {"name": "candidates", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}]  # fmt: skip
    calls = [
        ("/v1/rank", {**named, **at, "k": 2}),
        ("/v1/rank", {"candidates": ["a", "b"], **at, "surface": "drawn"}),
        ("/v1/models/liverank:predict", {"instances": [{**named, **at}, {"candidates": ["c"], **at}]}),
        ("/v2/models/liverank/infer", {"inputs": tensors, "parameters": {"session_id": "s", "surface": "home"}}),
    ]
    with receiver(tmp_path / "events") as collector, server.client() as client:
        for number, (path, body) in enumerate(calls):
            answer = client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            for kind, data in ((RESPONSE, answer.json()), (REQUEST, body)):
                assert collector.send(event(kind, number, data)).status_code == 202
    server.kill()
    store = open_store(server.workspace / "live.db")
    own = {one.impression_id: one for _, one in store.export() if isinstance(one, Impression)}
    store.close()
    found = {one.impression_id: one for one in shown(read(tmp_path / "events"))}
    assert len(own) == len(found) == 5
    for name, told in found.items():
        recorded = msgspec.structs.replace(own[name], history_digest="")
        if told.surface == "home":
            unknown = [msgspec.structs.replace(line, propensity=None) for line in recorded.shown]
            recorded = msgspec.structs.replace(recorded, shown=unknown, timestamp=told.timestamp)
        assert told == recorded
    # The same impressions from both sources are there once.
    config = DataConfig(
        sources=[SourceConfig(source=str(tmp_path / "events")), SourceConfig(source=str(_clicks(tmp_path)))],
        live_store=str(server.workspace / "live.db"),
    )
    assert ingest(config, tmp_path / "dataset").rows["impressions"] == 5


def _clicks(folder: Path) -> Path:
    path = folder / "interactions.jsonl"
    path.write_text(json.dumps(
        {"event_id": "e", "user_id": "anna", "item_id": "a", "type": "click", "timestamp": "2026-03-01T12:01:00Z"}
    ))  # fmt: skip
    return path


def test_a_new_day_has_a_new_file_and_a_failed_write_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = [datetime(2026, 3, 1, 23, tzinfo=UTC)]
    files = EventFiles(tmp_path, 2, lambda: days[-1])
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        write(descriptor, bytes(data)[:3])
        raise OSError(28, "No space left on device")

    async def fill() -> None:
        await files.append(b'{"a": 1}')
        days.append(datetime(2026, 3, 2, 1, tzinfo=UTC))
        await asyncio.gather(files.append(b'{"b": 1}'), files.append(b'{"c": 1}'))
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space"):
                await files.append(b'{"lost": 1}')
        await files.append(b'{"d": 1}')
        waiting = [asyncio.create_task(files.append(b"{}")) for _ in range(3)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), type(None), FullError]

    asyncio.run(fill())
    files.close()
    found = {path.name[:17]: [] for path in tmp_path.iterdir()}
    for path in tmp_path.iterdir():
        found[path.name[:17]].append(path.read_text())
    assert sorted(found) == ["events-2026-03-01", "events-2026-03-02"]
    assert found["events-2026-03-01"] == ['{"a": 1}\n']
    assert sorted(found["events-2026-03-02"]) == ['{"b": 1}\n{"c": 1}\n{"l', '{"d": 1}\n{}\n{}\n']
