"""Traces as a collector gets them; one that is away, or keeps everybody waiting, costs traces and nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from liverank.config import Config
from serving.calls import Call, Lap, Parent
from serving.tracing import MOST_LAPS, WAITING, Traces
from tests.serving.conftest import ROOT, Server
from tests.serving.scrapes import value
from tests.serving.test_logs import SPAN, TRACE, TRACEPARENT

SECONDS = 30
Servers = Callable[..., Server]


class Collector:
    """Takes OTLP over HTTP on a port of its own, or keeps its callers waiting while `hangs`."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.asked = threading.Event()
        self.hangs = threading.Event()
        self.freed = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.asked.set()
                if collector.hangs.is_set():
                    collector.freed.wait(SECONDS)
                collector.take(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append({of.key: of.value.string_value for of in resource.resource.attributes})
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def roots(self, count: int) -> list[Any]:
        """The spans of calls, once there are so many."""
        deadline = time.monotonic() + SECONDS
        while len(found := [span for span in self.spans if span.kind == span.SPAN_KIND_SERVER]) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} calls"
            time.sleep(0.02)
        return found

    def children(self, root: Any) -> list[Any]:
        return [span for span in self.spans if span.parent_span_id == root.span_id]

    def close(self) -> None:
        self.freed.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def attributes(span: Any) -> dict[str, Any]:
    return {of.key: of.value.string_value or of.value.int_value for of in span.attributes}


def test_each_call_is_a_trace_with_its_stages(servers: Servers, collector: Collector) -> None:
    crash = {"user_id": "anna.private", "candidates": [{"item_id": "x", "text": "crash private"}, "b"]}
    before = time.time_ns()
    server = servers(
        f"serving.traces_endpoint={collector.endpoint}", 'serving.surfaces={"home": {"diversity": {"method": "mmr"}}}'
    ).start()
    with server.client() as client:
        body = {"user_id": "anna.private", "candidates": ["a", {"item_id": "n", "text": "private words"}]}
        client.post("/v1/rank", json=body, headers={"traceparent": TRACEPARENT, "x-request-id": "mine"})
        client.post("/v1/rank", json=body, headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
        client.get("/metrics")
        client.get("/v2/models/liverank/ready")
        client.get("/v1/users/anna.private")
        client.post("/v1/rank", json={**crash, "surface": "home"})
    assert server.kill() == 143
    assert server.output().count("Traceback") == 1
    ranked, exported, failed = collector.roots(3)
    assert [span.name for span in (ranked, exported, failed)] == [
        "POST /v1/rank",
        "GET /v1/users/{user_id}",
        "POST /v1/rank",
    ]
    assert (ranked.trace_id.hex(), ranked.parent_span_id.hex()) == (TRACE, SPAN)
    assert attributes(ranked) == {
        "http.route": "POST /v1/rank",
        "http.response.status_code": 200,
        "liverank.request_id": "mine",
    }
    stages = collector.children(ranked)
    assert [span.name for span in stages] == ["decode", "texts", "queue", "store", "model", "shaping", "encode"]
    assert {span.trace_id.hex() for span in stages} == {TRACE}
    times = [at for span in stages for at in (span.start_time_unix_nano, span.end_time_unix_nano)]
    assert times == sorted(times)
    assert before < ranked.start_time_unix_nano <= times[0]
    assert times[-1] <= ranked.end_time_unix_nano < time.time_ns()
    assert not exported.parent_span_id
    assert exported.trace_id != failed.trace_id
    assert (failed.status.code, ranked.status.code) == (2, 0)
    assert {resource["service.name"] for resource in collector.resources} == {"liverank"}
    assert "private" not in str(collector.spans)


@pytest.mark.parametrize("kind", ["away", "hangs"])
def test_a_collector_that_does_not_take_them_fails_no_request(
    servers: Servers, collector: Collector, kind: str
) -> None:
    if kind == "hangs":
        collector.hangs.set()
    endpoint = collector.endpoint if kind == "hangs" else "http://127.0.0.1:9/v1/traces"
    server = servers(f"serving.traces_endpoint={endpoint}").start()
    with server.client() as client:

        def rank() -> httpx.Response:
            return client.post("/v1/rank", json={"user_id": "u", "candidates": ["a", "b"]})

        assert rank().status_code == 200
        if kind == "hangs":
            assert collector.asked.wait(SECONDS)
        # The thread that sends is waiting now; requests are not.
        assert [rank().status_code for _ in range(50)] == [200] * 50
        deadline = time.monotonic() + SECONDS
        while not value(client, "liverank_traces_dropped_total"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert server.kill() == 143
    said = server.output()
    assert said.count("Traces cannot be sent to the endpoint of serving.traces_endpoint.") == 1
    assert "Traceback" not in said


def call(laps: int = 0) -> Call:
    began = time.perf_counter()
    return Call(
        "id", Parent(TRACE, SPAN, True), began, "POST /v1/rank", 200, [Lap("model", began, began)] * laps, began
    )


def test_what_the_queue_cannot_hold_is_counted(collector: Collector) -> None:
    dropped: list[int] = []
    collector.hangs.set()
    traces = Traces(collector.endpoint, dropped.append)
    traces.finished(call())
    assert collector.asked.wait(SECONDS)
    for _ in range(WAITING + 5):
        traces.finished(call())
    assert dropped[:5] == [1] * 5
    collector.freed.set()
    traces.close()


def test_a_call_of_many_lists_has_a_bounded_trace(collector: Collector) -> None:
    traces = Traces(collector.endpoint, lambda count: None)
    traces.finished(call(MOST_LAPS + 7))
    untraced = call()
    untraced.laps = None
    traces.finished(untraced)
    traces.close()
    (root,) = collector.roots(1)
    assert len(collector.children(root)) == MOST_LAPS
    assert attributes(root)["liverank.stages_left_out"] == 7


@pytest.mark.parametrize(
    "url",
    [
        "localhost:4318",
        "http://localhost:4318",
        "http://",
        "ftp://x/v1/traces",
        "http://u:p@x/v1/traces",
        "http://x/y?k=1",
    ],
)
def test_endpoints_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="traces_endpoint"):
        Config.model_validate({"serving": {"traces_endpoint": url}})


def test_without_the_extra_the_server_says_what_to_install() -> None:
    code = """
import sys
sys.modules["opentelemetry.exporter.otlp.proto.http.trace_exporter"] = None
from liverank.errors import ServingError
from serving.tracing import Traces
try:
    Traces("http://127.0.0.1:9/v1/traces", print)
except ServingError as problem:
    print(problem)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Install liverank[otel]." in done.stdout


def test_without_an_endpoint_nothing_of_it_is_loaded() -> None:
    code = "import sys, serving.tracing, serving.answering; print('opentelemetry.sdk.trace' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
