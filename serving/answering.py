"""Around every call, REST or gRPC: gives it its id, tells the id to the caller, and says at the end that it is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import grpc
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.calls import CALL, HEADER, REQUEST_ID, Call, call_of
from serving.security import OPEN_PATHS, is_open

Finished = Callable[[Call], None]
LEFT: Final = 499
"""The status of a call whose caller left before the answer, as nginx has it: nobody's fault here."""
_STATUS: Final = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: LEFT,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_BY_NUMBER: Final = {code.value[0]: status for code, status in _STATUS.items()}
OTHER: Final = "other"
"""The route of what liverank does not name: a path is the caller's word."""


class Answering:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, finished: Sequence[Finished] = (), traced: bool = False) -> None:
        """Takes what is to be told of each call that is over, and whether its laps are kept."""
        self._app = app
        self._finished = finished
        self._traced = traced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and completes its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(reversed(scope["headers"]))
        # Probes and scrapes come every few seconds, and nobody asks where their time went.
        traced = self._traced and not (scope["method"] == "GET" and is_open(scope["path"]))
        call = call_of(given.get(HEADER, b""), given.get(b"traceparent", b""), traced)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, call.request_id.encode("latin-1"))]
            await send(message)

        # Neither is taken back: uvicorn runs each request in a task of its own, and logs in it what fails beyond us.
        CALL.set(call)
        REQUEST_ID.set(call.request_id)
        try:
            await self._app(scope, receive, told)
        finally:
            call.route = call.route or _plain_route(scope)
            _end(call, self._finished)


class CallAnswering(grpc.aio.ServerInterceptor):
    """The same for gRPC: the outermost interceptor; the id goes back in the initial metadata."""

    def __init__(self, finished: Sequence[Finished] = (), traced: bool = False) -> None:
        """Takes what is to be told of each call that is over, and whether its laps are kept."""
        self._finished = finished
        self._traced = traced

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Passes a call on; each has a task, and with it a context, of its own."""
        given = {name: _bytes(value) for name, value in reversed(details.invocation_metadata)}
        call = call_of(given.get(HEADER.decode(), b""), given.get("traceparent", b""), self._traced)
        CALL.set(call)
        REQUEST_ID.set(call.request_id)
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        async def answered(request: Any, context: Any) -> Any:
            try:
                await context.send_initial_metadata(((HEADER.decode(), call.request_id),))
                answer = await handler.unary_unary(request, context)
                call.status = call.status or 200
                return answer
            except asyncio.CancelledError:
                call.status = LEFT
                raise
            finally:
                call.route = call.route or f"gRPC {details.method.rpartition('/')[2]}"
                call.status = call.status or _refusal(context)
                _end(call, self._finished)

        return grpc.unary_unary_rpc_method_handler(answered, handler.request_deserializer, handler.response_serializer)


def _refusal(context: Any) -> int:
    """The status of a call that did not end well, by the code that it was given; 500 where it was given none."""
    code = context.code()
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return _BY_NUMBER.get(number, 500) if number else 500


def _end(call: Call, finished: Sequence[Finished]) -> None:
    call.ended = time.perf_counter()
    for tell in finished:
        tell(call)


def _plain_route(scope: Scope) -> str:
    known = scope["method"] in {"GET", "POST"} and scope["path"] in OPEN_PATHS
    return f"{scope['method']} {scope['path']}" if known else OTHER


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
