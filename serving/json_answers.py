"""Answers of our own doors."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response


def json_answer(content: Any, status: int = 200) -> Response:
    """Structs, records or plain values as a JSON answer."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")
