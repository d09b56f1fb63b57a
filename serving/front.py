"""The doors that every page view knocks at, before the framework: its layers cost more than a small list's ranking."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.refusals import Endpoint


class Front:
    """ASGI application: answers requests of some methods and paths itself, and passes all others on.

    `doors` never raise; what guards the application stands before both.
    """

    def __init__(self, app: ASGIApp, doors: Mapping[tuple[str, str], Endpoint]) -> None:
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or passes the request on."""
        door = self._doors.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if door is None:
            await self._app(scope, receive, send)
            return
        response = await door(Request(scope, receive))
        await response(scope, receive, send)
