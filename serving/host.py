"""The kserve model server, bound to the address we say, guarded, and ended in the right order.

Importing this imports kserve, which reads `sys.argv`: only `serving.server` does it, with the arguments hidden.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import warnings
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from fastapi.exceptions import RequestValidationError
from kserve import ModelServer
from kserve.model_server import app
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from liverank.config import ServingConfig
from liverank.errors import ServingError
from serving import openapi
from serving.access import Access
from serving.answering import Answering
from serving.front import Front
from serving.grpc_answering import CallAnswering
from serving.grpc_guard import Guard
from serving.headers import SecurityHeaders
from serving.logs import quiet_libraries
from serving.metrics import Metrics
from serving.playground import PlaygroundPage
from serving.predictor import Predictor
from serving.refusals import UNREADABLE, on_http_exception, on_invalid_request, on_unreadable_request
from serving.routes import Routes
from serving.security import BodyLimit, LoopbackOnly, TokenRequired
from serving.tracing import Traces, told_of

POLL_SECONDS = 0.005


class _Rest(RESTServer):
    """kserve's REST server without its timing middleware, which costs more than a request's own decoding."""

    def _add_middlewares(self, app: Any) -> None:
        pass


class Host(ModelServer):
    """Runs one predictor over REST and gRPC until a signal comes.

    kserve's own `start` listens on every interface, shares its gRPC port with whoever has it already, frees the model
    before gRPC has drained, and discards the event loop that it configures; hence our own.
    """

    def __init__(
        self, predictor: Predictor, config: ServingConfig, listener: socket.socket, traces: Traces | None = None
    ) -> None:
        super().__init__(workers=1, enable_latency_logging=False, grace_period=int(config.drain_seconds))
        quiet_libraries()
        # kserve 0.21 answers through a response class that FastAPI has deprecated.
        warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
        self.register_model(predictor)
        self._config = config
        self._finished = told_of(config, traces)
        self._traced = traces is not None
        self._listener = listener
        self._signals: list[int] = []
        self._rest = _Rest(
            "kserve.model_server:app",
            self.dataplane,
            self.model_repository_extension,
            listener.getsockname()[1],
            grace_period=int(config.drain_seconds),
        )
        self._rest.config.access_log = False
        self._rest.config.server_header = False

    def prepare(self, routes: Routes, access: Access, metrics: Metrics) -> None:
        """Puts our routes and the guard on kserve's application."""
        doors = routes.add_to(app)
        described = openapi.document()
        app.openapi = lambda: described
        app.add_exception_handler(HTTPException, on_http_exception)
        app.add_exception_handler(RequestValidationError, on_invalid_request)
        for kind in UNREADABLE:
            app.add_exception_handler(kind, on_unreadable_request)
        guarded: ASGIApp = BodyLimit(Front(app, doors), self._config.max_body_bytes)
        if access:
            guarded = TokenRequired(guarded, access)
        else:
            guarded = LoopbackOnly(guarded, lambda: metrics.answered("from another site", 403, 0.0))
        if self._config.playground:
            guarded = PlaygroundPage(guarded)
        # Outside of the application: its own last resort, the 500, is outside of all its middleware.
        self._rest.config.app = Answering(SecurityHeaders(guarded), self._finished, self._traced)
        # Who asks is told by tokens, not by addresses that a proxy hands on.
        self._rest.config.proxy_headers = False
        self._access = access

    async def serve(self, on_ready: Callable[[int], None]) -> int:
        """Serves until SIGINT or SIGTERM, answers what is open, and returns the signal; `on_ready` gets the gRPC port.

        Raises:
            ServingError: the gRPC port is taken.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        server, port = self._grpc()
        await server.start()
        self._rest.create_application()
        rest = asyncio.create_task(self._rest._server.serve(sockets=[self._listener]))
        try:
            while not self._rest._server.started and not rest.done():
                await asyncio.sleep(POLL_SECONDS)
            if not rest.done():
                on_ready(port)
            await rest
        finally:
            await server.stop(grace=self._config.drain_seconds)
        return self._signals[0] if self._signals else 0

    def _stop(self, number: int, frame: Any) -> None:
        # uvicorn takes the signals over while it runs and raises them again, for us, when it has drained.
        self._signals.append(number)
        self._rest._server.should_exit = True

    def _grpc(self) -> tuple[Any, int]:
        server = grpc.aio.server(
            futures.ThreadPoolExecutor(1),
            interceptors=(
                CallAnswering(self._finished, self._traced),
                Guard(self._access),
                ExceptionToStatusInterceptor(),
            ),
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", self._config.max_body_bytes),
            ],
        )
        servicer = InferenceServicer(self.dataplane, self.model_repository_extension)
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        try:
            return server, server.add_insecure_port(f"{host}:{self._config.grpc_port}")
        except RuntimeError as problem:
            raise ServingError(
                f"gRPC cannot listen on {host}:{self._config.grpc_port}: {problem}.",
                "Another process may have the port; set serving.grpc_port (0 for any).",
            ) from problem
