"""Who may talk to the server over gRPC: whoever may over REST."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc

from serving.access import ADMIN, RANK, Access, Denied

OPEN_CALLS: Final = frozenset({"ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata"})
STATUS_CODES: Final = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class Guard(grpc.aio.ServerInterceptor):
    """Asks for a bearer token, and closes the repository calls, whose kserve 0.21 versions answer wrongly."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Passes a call on, or aborts it."""
        call = details.method.rpartition("/")[2]
        if call.startswith("Repository"):
            return _aborting(grpc.StatusCode.PERMISSION_DENIED, "Swap the model over REST.")
        if self._access and call not in OPEN_CALLS:
            given = dict(details.invocation_metadata).get("authorization", "")
            denied = self._access.denied(str(given).encode(), RANK if call == "ModelInfer" else ADMIN)
            if denied is not None:
                return _denying(denied)
        return await continuation(details)


def _denying(denied: Denied) -> Any:
    message = denied.message.replace("header Authorization:", "metadata authorization:")
    metadata = tuple((name.lower(), value) for name, value in denied.headers.items())
    return _aborting(STATUS_CODES[denied.status], message, metadata)


def _aborting(code: grpc.StatusCode, message: str, metadata: tuple[tuple[str, str], ...] = ()) -> Any:
    async def abort(request: Any, context: Any) -> None:
        await context.abort(code, message, metadata)

    return grpc.unary_unary_rpc_method_handler(abort)
