"""Who may talk to the server: anyone on loopback, elsewhere whoever holds a bearer token for what they want."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from liverank.config import ServingConfig
from liverank.errors import ServingError
from serving.access import SCOPES_KEY, Access, access, scope_of
from serving.refusals import refused

OPEN_PATHS = frozenset({"/", "/metrics", "/v1/models", "/v2", "/v2/models", "/v2/health/live", "/v2/health/ready"})


def required_access(config: ServingConfig) -> Access:
    """The bearer tokens that callers must show one of, none for none.

    Raises:
        ServingError: there is none and the address is not loopback, or a token of `serving.tokens` is missing.
    """
    tokens = access(config)
    if not tokens and not is_loopback(config.host):
        raise ServingError(
            f"Listening on {config.host} needs a token, and the environment variable {config.token_variable} has none.",
            "Set it to a long random word, or serving.host to 127.0.0.1.",
        )
    return tokens


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class BodyLimit:
    """ASGI middleware: 413 for a body of more than `limit` bytes, announced or not, before it is all in memory."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if int(announced) > self._limit:
            await refused(413, self._message())(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limit:
                raise HTTPException(413, self._message())
            return message

        await self._app(scope, counted, send)

    def _message(self) -> str:
        return f"The body has more than {self._limit} bytes (serving.max_body_bytes)."


class TokenRequired:
    """ASGI middleware: 401 without a token, 403 without its scope, 429 beyond its rate.

    Open are probes and metrics, which name no user and change nothing.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it."""
        denied = None
        if scope["type"] == "http" and not (scope["method"] == "GET" and is_open(scope["path"])):
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            denied = self._access.denied(given, scope_of(scope["method"], scope["path"]))
            scope[SCOPES_KEY] = self._access.scopes(given)
        if denied is None:
            await self._app(scope, receive, send)
            return
        answer = refused(denied.status, denied.message)
        answer.headers.update(denied.headers)
        await answer(scope, receive, send)


class LoopbackOnly:
    """ASGI middleware for a server without a token: 403 for what a web page made a browser of this machine send.

    Such a request names the page in `Origin`, or the page's own host in `Host` where its name was pointed at this
    machine. Probes and metrics are open here too.
    """

    def __init__(self, app: ASGIApp, on_refused: Callable[[], None]) -> None:
        self._app = app
        self._on_refused = on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers 403."""
        if scope["type"] != "http" or (scope["method"] == "GET" and is_open(scope["path"])) or _is_local(scope):
            await self._app(scope, receive, send)
            return
        self._on_refused()
        message = "Without a token this server answers only requests for localhost, and no other site's pages."
        await refused(403, message)(scope, receive, send)


def _is_local(scope: Scope) -> bool:
    named = False
    for name, value in scope["headers"]:
        if name == b"host":
            named = True
            if not _is_of_loopback(b"//" + value):
                return False
        elif name == b"origin" and not _is_of_loopback(value):
            return False
    return named


# Callers name the same host again and again; taking it apart costs as much as reading their request.
@lru_cache(256)
def _is_of_loopback(url: bytes) -> bool:
    try:
        return is_loopback(urlsplit(url.decode("latin-1")).hostname or "")
    except ValueError:
        return False


def is_open(path: str) -> bool:
    """Whether anybody may GET a path: probes and metrics."""
    return path in OPEN_PATHS or path.startswith(("/v1/models/", "/v2/models/"))
