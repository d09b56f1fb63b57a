"""OpenTelemetry traces: each answered call as a span with its stages below it, sent over OTLP by a thread of its own.

The request's path only puts the call into a bounded queue. Spans are made and sent later, so that a collector that is
slow or away costs traces, which are counted, and no request anything.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from liverank.config import ServingConfig
from liverank.errors import ServingError
from serving.calls import Call, Parent
from serving.logs import log_access
from serving.troubles import Troubles

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

WAITING: Final = 2048
"""Calls that may wait to be sent."""
BATCH: Final = 256
"""Calls that are sent together."""
EXPORT_SECONDS: Final = 1.0
"""Between two looks at what waits."""
TIMEOUT_SECONDS: Final = 2.0
"""How long a collector may take for a batch, and the last batch at the end."""
MOST_LAPS: Final = 64
"""Stages of a call that become spans: one of many lists has the same ones for each."""


class Traces:
    """Sends the calls that it is told of."""

    def __init__(self, endpoint: str, dropped: Callable[[int], None]) -> None:
        """Starts the thread.

        Args:
            endpoint: URL that takes OTLP over HTTP.
            dropped: takes how many calls could not be sent.

        Raises:
            ServingError: OpenTelemetry's exporter is not installed.
        """
        try:
            self._spans = _Spans(endpoint)
        except ModuleNotFoundError as missing:
            raise ServingError(
                f"Traces cannot be sent here: {missing.name} is missing.", "Install liverank[otel]."
            ) from missing
        self._endpoint = endpoint
        self._dropped = dropped
        self._waiting: deque[Call] = deque()
        self._stopped = threading.Event()
        self._troubles = Troubles()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def finished(self, call: Call) -> None:
        """Has a call sent, where its laps were kept; never waits."""
        if call.laps is None:
            return
        if len(self._waiting) >= WAITING:
            self._dropped(1)
            return
        self._waiting.append(call)

    def close(self) -> None:
        """Sends what waits, as far as the collector takes it in `TIMEOUT_SECONDS`."""
        self._stopped.set()
        self._thread.join(TIMEOUT_SECONDS)
        # Wakes a thread that waits to try again; one that a collector keeps waiting ends with the process.
        self._spans.close()

    def _run(self) -> None:
        while not self._stopped.wait(EXPORT_SECONDS):
            self._send()
        self._send()

    def _send(self) -> None:
        while self._waiting:
            calls = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH))]
            try:
                if self._spans.send(calls):
                    continue
                problem: Exception = ServingError("Traces cannot be sent to the endpoint of serving.traces_endpoint.")
            except Exception as unforeseen:  # noqa: BLE001  the next batch may do, and the log says what it was
                problem = unforeseen
            self._dropped(len(calls))
            self._troubles.say(problem)


def told_of(config: ServingConfig, traces: Traces | None) -> list[Callable[[Call], None]]:
    """Whatever is to be told of each call that is over: the access log and the traces, where they are wanted."""
    told: list[Callable[[Call], None]] = [log_access] if config.access_log else []
    return told if traces is None else [*told, traces.finished]


class _Spans:
    """Calls as OpenTelemetry's spans."""

    def __init__(self, endpoint: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        # It logs each failed attempt, with the text of what failed; we say once in a while that there are some.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._made: list[ReadableSpan] = []
        made = self._made

        class Collecting(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                made.append(span)

        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before our name.
        resource = Resource({SERVICE_NAME: "liverank"}).merge(OTELResourceDetector().detect())
        provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(Collecting())
        self._tracer = provider.get_tracer("liverank")
        self._exporter = OTLPSpanExporter(endpoint, timeout=TIMEOUT_SECONDS)

    def send(self, calls: list[Call]) -> bool:
        """Whether the collector took the spans of these calls."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        # What has to be added to the clock of `time.perf_counter` for nanoseconds since 1970.
        origin = time.time_ns() - time.perf_counter_ns()
        for call in calls:
            self._make(call, lambda seconds: origin + int(seconds * 1e9))
            # Gives the interpreter to whoever answers a request now.
            time.sleep(0)
        made = self._made[:]
        self._made.clear()
        return self._exporter.export(made) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Ends its connections."""
        self._exporter.shutdown()

    def _make(self, call: Call, instant: Callable[[float], int]) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        laps = call.laps or []
        attributes: dict[str, Any] = {
            "http.route": call.route,
            "http.response.status_code": call.status,
            "liverank.request_id": call.request_id,
        }
        if len(laps) > MOST_LAPS:
            attributes["liverank.stages_left_out"] = len(laps) - MOST_LAPS
        span = self._tracer.start_span(
            call.route,
            _context(call.parent) if call.parent else None,
            SpanKind.SERVER,
            attributes,
            start_time=instant(call.began),
        )
        within = set_span_in_context(span)
        for lap in laps[:MOST_LAPS]:
            self._tracer.start_span(lap.stage, within, start_time=instant(lap.began)).end(instant(lap.ended))
        if call.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(instant(call.ended))


def _context(parent: Parent) -> Any:
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    caller = SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return set_span_in_context(NonRecordingSpan(caller))
