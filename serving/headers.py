"""The headers that every REST answer bears, also those that the framework makes."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
NOT_A_PAGE = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""The content security policy of what is no HTML: a browser that shows it loads nothing and runs nothing."""


class SecurityHeaders:
    """ASGI middleware around the whole application: adds the headers that an answer does not have yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and completes its answer."""

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _complete(message.get("headers", ()))
            await send(message)

        await self._app(scope, receive, completed if scope["type"] == "http" else send)


def _complete(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    # Names come in lower case, as ASGI wants them.
    given = dict(headers)
    more = (*ALWAYS, *(() if given.get(b"content-type", b"").startswith(b"text/html") else (NOT_A_PAGE,)))
    return [*headers, *(one for one in more if one[0] not in given)]
