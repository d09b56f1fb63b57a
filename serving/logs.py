"""How the server's process logs: one line a record on stderr, as text or JSON, with the id of the request behind it."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from functools import cache
from typing import Final

from liverank.config import ServingConfig
from serving.calls import REQUEST_ID, Call
from serving.discretion import trace_without_content

ACCESS: Final = "serving.access_log"
"""The logger of answered calls."""
LIFECYCLE: Final = "serving.lifecycle"
"""The logger of the server's start and end."""
QUIET: Final = ("kserve", "kserve.trace", "uvicorn", "uvicorn.error", "uvicorn.access")

_access = logging.getLogger(ACCESS)


class TextLines(logging.Formatter):
    """For people: time, level, logger, what happened and, where one request is behind it, its id."""

    def format(self, record: logging.LogRecord) -> str:
        """One record; a traceback takes the lines that follow."""
        request_id = REQUEST_ID.get()
        of = f" [request {request_id}]" if request_id else ""
        line = f"{_time(record)} {record.levelname} {record.name}: {_message(record)}{of}"
        trace = _trace(record)
        return f"{line}\n{trace}" if trace else line


class JsonLines(logging.Formatter):
    """For machines: one JSON object a line.

    `time` (RFC 3339, UTC), `level`, `logger`, `message`; `request_id` where one request is behind it, `trace` with a
    traceback; of an answered call also `route`, `status` and `ms`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        request_id, trace = REQUEST_ID.get(), _trace(record)
        told = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **({"request_id": request_id} if request_id else {}),
            **({"trace": trace} if trace else {}),
            **getattr(record, "fields", {}),
        }
        return json.dumps(told, ensure_ascii=False)


def write_logs(config: ServingConfig) -> None:
    """Has this process, the server's alone, log as the configuration says."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if config.log_format == "json" else TextLines())
    logging.getLogger().handlers[:] = [handler]
    if config.log_format == "json":
        logging.captureWarnings(True)
        logging.getLogger(LIFECYCLE).setLevel(logging.INFO)
    if config.access_log:
        _access.setLevel(logging.INFO)


def take_over_loggers() -> None:
    """Has the libraries that came with handlers of their own log like the rest; call it once all are loaded."""
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and any(isinstance(of, logging.StreamHandler) for of in logger.handlers):
            logger.handlers.clear()
            logger.propagate = True


def quiet_libraries() -> None:
    """Has the server's libraries tell of warnings and no less, and of no request that is the caller's fault alone.

    Each would be a traceback, by which any caller could fill the log.
    """
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("kserve").addFilter(lambda record: not _tells_of(record, (*_refusals(), *_broken_off())))
    for name in ("uvicorn.error", "grpc._cython.cygrpc"):
        logging.getLogger(name).addFilter(lambda record: not _tells_of(record, _broken_off()))


def log_access(call: Call) -> None:
    """Logs an answered call: nothing of what was asked, no path, which may name a user."""
    ms = round((call.ended - call.began) * 1000, 3)
    fields = {"request_id": call.request_id, "route": call.route, "status": call.status, "ms": ms}
    token = REQUEST_ID.set(call.request_id)
    _access.info("%s %d %.3f ms", call.route, call.status, ms, extra={"fields": fields})
    REQUEST_ID.reset(token)


def _tells_of(record: logging.LogRecord, problems: tuple[type[Exception], ...]) -> bool:
    return bool(record.exc_info and isinstance(record.exc_info[1], problems))


@cache
def _broken_off() -> tuple[type[Exception], ...]:
    """What callers do who leave, or send bytes that are no message."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from starlette.requests import ClientDisconnect

    return ClientDisconnect, DecodeError


@cache
def _refusals() -> tuple[type[Exception], ...]:
    # Here, since importing kserve reads `sys.argv` and takes seconds; who gets such a record has it already.
    from kserve.errors import InvalidInput, ModelNotFound, UnsupportedProtocol

    from serving.predictor import Overloaded

    # The last is kserve's 501, for explainers and versions of the protocol that this server has none of.
    return InvalidInput, ModelNotFound, Overloaded, UnsupportedProtocol, NotImplementedError


def _message(record: logging.LogRecord) -> str:
    return record.getMessage().rstrip()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return record.exc_text or trace_without_content(record.exc_info[1])
