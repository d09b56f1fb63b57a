"""The collector of KServe's logger: takes its CloudEvents over HTTP and keeps them as a source of data.

A process of its own, not a route of the model server: an agent that logs the server's requests would log those too.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn
from prometheus_client import CollectorRegistry, Counter, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from liverank.config import ServingConfig
from liverank.data.cloudevents import PREFIX, REQUEST, InferenceEvent, from_http
from liverank.data.inference_bodies import answered, asked
from liverank.data.inference_pseudonyms import pseudonymous
from liverank.errors import DataError, OutputError, ServingError
from liverank.pseudonyms import Pseudonyms, pseudonyms
from serving.access import Access
from serving.answering import Answering
from serving.calls import answered_by
from serving.discretion import discreet_logs, on_loop_problem
from serving.event_files import EventFiles, FullError
from serving.headers import SecurityHeaders
from serving.listening import listen
from serving.logs import take_over_loggers, write_logs
from serving.metrics import untraced
from serving.refusals import answered_or_refused, on_http_exception, refused
from serving.security import BodyLimit, LoopbackOnly, TokenRequired, required_access
from serving.tracing import Traces, told_of
from serving.troubles import Troubles

PATH: Final = "/v1/cloudevents"
ROUTE: Final = f"POST {PATH}"
_BASIC: Final = b"Basic "
_REFUSED: Final = ServingError(
    "Events are refused: liverank_inference_events_total counts them, and each sender is told why."
)


class BasicIsBearer:
    """ASGI middleware that takes the password of HTTP's Basic scheme for the bearer token.

    KServe's agent sends no header of its own, but as every client of Go's what stands in its URL:
    `http://logger:<token>@host/v1/cloudevents`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] == "http":
            scope = {**scope, "headers": [_as_bearer(name, value) for name, value in scope["headers"]]}
        await self._app(scope, receive, send)


def _as_bearer(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if name != b"authorization" or not value.startswith(_BASIC):
        return name, value
    try:
        return name, b"Bearer " + base64.b64decode(value.removeprefix(_BASIC), validate=True).partition(b":")[2]
    except binascii.Error:
        return name, value


class Collector:
    """The routes: `POST /v1/cloudevents`, and `GET /metrics`, which is open and counts."""

    def __init__(self, files: EventFiles, names: Pseudonyms) -> None:
        self._files = files
        self._names = names
        self._refusals, self._failures = Troubles(), Troubles()
        self._registry = CollectorRegistry()
        self._events = Counter(
            "liverank_inference_events", "Events of KServe's logger.", ("kind", "outcome"), registry=self._registry
        )
        self.untraced = untraced(self._registry)

    def application(self, config: ServingConfig, tokens: Access, traces: Traces | None = None) -> ASGIApp:
        """The application, guarded as the model server is, and with as much to say of each call."""
        routes = [Route(PATH, self.take, methods=["POST"]), Route("/metrics", self.metrics, methods=["GET"])]
        app = Starlette(routes=routes, exception_handlers={HTTPException: on_http_exception})
        app.add_middleware(BodyLimit, limit=config.max_body_bytes)
        if tokens:
            app.add_middleware(TokenRequired, access=tokens)
            app.add_middleware(BasicIsBearer)
        else:
            app.add_middleware(LoopbackOnly, on_refused=lambda: self._events.labels("unknown", "refused").inc())
        return Answering(SecurityHeaders(app), told_of(config, traces), traces is not None)

    async def take(self, request: Request) -> Response:
        """202 once the event is on disk; 400 for what is none, or no half of a ranking; 503 when it cannot be kept."""
        answer = await answered_or_refused(ROUTE, self._take, request)
        answered_by(ROUTE, answer.status_code)
        return answer

    async def _take(self, request: Request) -> Response:
        kind = "unknown"
        try:
            event = from_http(request.headers, await request.body())
            kind = event.type.removeprefix(PREFIX)
            line = msgspec.json.encode(self._checked(event))
        except DataError as problem:
            self._events.labels(kind, "refused").inc()
            self._refusals.say(_REFUSED)
            return refused(400, problem.message)
        try:
            await self._files.append(line)
        except (FullError, OSError) as problem:
            self._events.labels(kind, "failed").inc()
            # Of the system's errors only what it says of the disk: the rest names files.
            why = problem.strerror if isinstance(problem, OSError) else problem
            self._failures.say(OutputError(f"Events cannot be kept: {why}."))
            answer = refused(503, f"Nothing was taken: {problem}")
            answer.headers["Retry-After"] = "1"
            return answer
        self._events.labels(kind, "taken").inc()
        return Response(status_code=202)

    def _checked(self, event: InferenceEvent) -> InferenceEvent:
        if self._names:
            return pseudonymous(event, self._names)
        (asked if event.type == REQUEST else answered)(event.data)
        return event

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`."""
        return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4")


def run(config: ServingConfig, folder: Path, on_ready: Callable[[str], object]) -> int:
    """Collects until SIGINT or SIGTERM, answers what is open, and returns the signal's number.

    Args:
        config: where to listen (`host`, `http_port`), tokens, limits, the pseudonyms' key.
        folder: where events are kept, made where it is not there.
        on_ready: called with the address of the door.

    Raises:
        ServingError: the port is taken, or there is no token where one is needed.
        OutputError: the folder cannot be written.
        ConfigError: the key for pseudonyms is missing.
    """
    tokens = required_access(config)
    discreet_logs()
    write_logs(config)
    names = pseudonyms(config.pseudonym_variable)
    files = EventFiles(folder, config.queue_impressions)
    listener = listen(config)
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn takes the signals over while it runs and raises them again when it has drained.
        signal.signal(number, lambda number, frame: signals.append(number))
    traces: Traces | None = None
    try:
        collector = Collector(files, names)
        if config.traces_endpoint:
            traces = Traces(config.traces_endpoint, collector.untraced.inc)
        app: Any = collector.application(config, tokens, traces)
        take_over_loggers()
        settings = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="off")
        _Server(settings, lambda: on_ready(_address(listener))).run(sockets=[listener])
    finally:
        if traces is not None:
            traces.close()
        listener.close()
        files.close()
    return signals[0] if signals else 0


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(on_loop_problem)
        await super().startup(sockets)
        self._on_ready()


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}"
