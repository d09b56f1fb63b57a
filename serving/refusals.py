"""Refusals and failures in the one shape that error answers have, wherever they come from."""

from __future__ import annotations

import logging
import struct
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from liverank.errors import LiverankError, StoreError
from serving.api import Refused
from serving.calls import LEFT
from serving.discretion import without_content

Endpoint = Callable[[Request], Awaitable[Response]]

RANKING_MODULE: Final = "serving.predictor"
"""Where kserve hands a call over."""
UNREADABLE: Final = (ArithmeticError, AttributeError, BufferError, LookupError, TypeError, ValueError, struct.error)
"""What reading a malformed call may raise."""

_log = logging.getLogger(__name__)


def refused(status: int, message: str) -> JSONResponse:
    """The one shape of an error answer."""
    return JSONResponse({"error": message}, status)


async def answered_or_refused(route: str, endpoint: Endpoint, request: Request) -> Response:
    """What an endpoint answers, or the error answer for what it raises; `route` is what the log calls it."""
    try:
        return await endpoint(request)
    except Refused as refusal:
        answer = refused(refusal.status, refusal.message)
        answer.headers.update(refusal.headers)
        return answer
    except ClientDisconnect:
        return refused(LEFT, "The caller left before the whole request had come.")
    except HTTPException as problem:
        return refused(problem.status_code, str(problem.detail))
    except StoreError as problem:
        answer = refused(503, str(problem))
        answer.headers["Retry-After"] = "5"
        return answer
    except LiverankError as problem:
        _log.warning("%s: %s", route, without_content(problem))
        return refused(503, str(problem))
    except Exception:  # noqa: BLE001  the caller gets a 500, the log the traceback
        # The route, not the path: a path may name a user.
        _log.exception("%s failed", route)
        return refused(500, "Internal error; the server's log says more.")


async def on_http_exception(request: Request, problem: Exception) -> Response:
    """The framework's own refusals (no such path, method, body) in the one shape of an error answer."""
    assert isinstance(problem, HTTPException)
    answer = refused(problem.status_code, str(problem.detail))
    answer.headers.update(problem.headers or {})
    return answer


async def on_unreadable_request(request: Request, problem: Exception) -> Response:
    """What kserve breaks on while it reads a call or writes its answer: a call that is not as its protocol has it.

    Raises:
        Exception: `problem`, where it came from the ranking itself.
    """
    frames = traceback.walk_tb(problem.__traceback__)
    if any(frame.f_globals.get("__name__") == RANKING_MODULE for frame, _ in frames):
        raise problem
    return refused(400, f"The call is not as KServe's protocol has it ({type(problem).__name__}).")


async def on_invalid_request(request: Request, problem: Exception) -> Response:
    """A v2 body that breaks the protocol's schema, as `Refused` would say it."""
    # Only kserve's application raises it: who has none need not wait for FastAPI.
    from fastapi.exceptions import RequestValidationError

    assert isinstance(problem, RequestValidationError)
    found = problem.errors()[0]
    return refused(400, f"{found['msg']} - at `{'.'.join(map(str, found['loc']))}`")
