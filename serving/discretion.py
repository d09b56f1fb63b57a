"""What an error may say in the log: where it happened and of what kind it is, nothing of the request that met it.

The text of an exception may quote what could not be read, scored or stored: a user's id, a text, an item. Callers get
such texts, since they are about what they sent; logs do not, since they are read and kept by others.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import Any

from liverank.errors import DataError, LiverankError

_log = logging.getLogger(__name__)


def without_content(problem: BaseException) -> str:
    """What a problem may be called in the log: our own errors about files, stores and models say it themselves.

    >>> without_content(KeyError("anna"))
    'KeyError'
    """
    return str(problem) if _speaks_for_itself(problem) else type(problem).__name__


def trace_without_content(problem: BaseException) -> str:
    """The traceback with the types of exceptions but not their texts, causes first."""
    parts = []
    seen: set[int] = set()
    each: BaseException | None = problem
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        frames = "".join(traceback.format_tb(each.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{without_content(each)}")
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "\n\nwhich led to\n\n".join(reversed(parts))


def discreet_logs() -> None:
    """Has every log record of this process, the libraries' too, name exceptions without their texts.

    For the server's process alone: it replaces the factory of log records.
    """
    make = logging.getLogRecordFactory()

    def discreet(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if record.exc_info and record.exc_info[1] is not None:
            # A formatter takes this for the traceback that it has already made.
            record.exc_text = trace_without_content(record.exc_info[1])
        if isinstance(record.args, tuple):
            record.args = tuple(without_content(a) if isinstance(a, BaseException) else a for a in record.args)
        if isinstance(record.msg, BaseException):
            record.msg = without_content(record.msg)
        return record

    logging.setLogRecordFactory(discreet)


def on_loop_problem(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An event loop's exception handler: its own would print the future, and with it the exception's text."""
    problem = context.get("exception")
    _log.error("%s", context.get("message", "A task failed."), exc_info=problem)


def _speaks_for_itself(problem: BaseException) -> bool:
    return isinstance(problem, LiverankError) and not isinstance(problem, DataError)
