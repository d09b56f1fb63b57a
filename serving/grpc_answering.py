"""Around every call over gRPC what `serving.answering` does for HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import grpc

from serving.answering import Finished, end
from serving.calls import CALL, HEADER, LEFT, REQUEST_ID, call_of

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


class CallAnswering(grpc.aio.ServerInterceptor):
    """The outermost interceptor; the id goes back in the initial metadata."""

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
                end(call, self._finished)

        return grpc.unary_unary_rpc_method_handler(answered, handler.request_deserializer, handler.response_serializer)


def _refusal(context: Any) -> int:
    """The status of a call that did not end well, by the code that it was given; 500 where it was given none."""
    code = context.code()
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return _BY_NUMBER.get(number, 500) if number else 500


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
