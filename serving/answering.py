"""Around every call over HTTP: gives it its id, tells the id to the caller, and says at the end that it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.calls import CALL, HEADER, REQUEST_ID, Call, call_of
from serving.security import OPEN_PATHS, is_open

Finished = Callable[[Call], None]
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
            end(call, self._finished)


def end(call: Call, finished: Sequence[Finished]) -> None:
    """Says of a call that it is over."""
    call.ended = time.perf_counter()
    for tell in finished:
        tell(call)


def _plain_route(scope: Scope) -> str:
    known = scope["method"] in {"GET", "POST"} and scope["path"] in OPEN_PATHS
    return f"{scope['method']} {scope['path']}" if known else OTHER
