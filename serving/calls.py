"""The call that is being answered: its id for logs and answers, its route, and where its time went."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, NamedTuple

HEADER: Final = b"x-request-id"
LEFT: Final = 499
"""The status of a call whose caller left before the answer, as nginx has it: nobody's fault here."""
_PARENT: Final = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_GIVEN: Final = re.compile(r"[!-~]{1,128}")
"""What a caller's request id may be: it stands in logs and headers."""


class Lap(NamedTuple):
    """One stage of one ranking; both ends on the clock of `time.perf_counter`."""

    stage: str
    began: float
    ended: float


class Parent(NamedTuple):
    """The caller's span, by W3C trace context (https://www.w3.org/TR/trace-context/)."""

    trace_id: str
    span_id: str
    sampled: bool


@dataclass(slots=True)
class Call:
    """One request over REST or gRPC, while it is answered."""

    request_id: str
    parent: Parent | None
    began: float
    """On the clock of `time.perf_counter`."""
    route: str = ""
    """As the metrics name it: no path, which may name a user."""
    status: int = 0
    laps: list[Lap] | None = None
    """None where nobody traces."""
    ended: float = 0.0


CALL: ContextVar[Call | None] = ContextVar("call", default=None)
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the call that this code works for; of several, joined by commas, on the model's thread; empty for none."""


def call_of(given: bytes, parent: bytes, traced: bool) -> Call:
    """A call that begins now.

    Args:
        given: the value of `x-request-id`; empty for none.
        parent: the value of `traceparent`; empty for none.
        traced: whether laps are kept, unless the caller's trace context says that nobody wants them.
    """
    began = time.perf_counter()
    caller = _parent(parent.decode("latin-1")) if parent else None
    request_id = given.decode("latin-1") if given else ""
    if not _GIVEN.fullmatch(request_id):
        # An id to be found by, no secret: the system's random numbers would cost several times as much.
        request_id = caller.trace_id if caller else f"{random.getrandbits(128):032x}"
    return Call(request_id, caller, began, laps=[] if traced and (caller is None or caller.sampled) else None)


def _parent(value: str) -> Parent | None:
    found = _PARENT.fullmatch(value.strip())
    if found is None or (found[1] == "00" and found[5]):
        return None
    return Parent(found[2], found[3], bool(int(found[4], 16) & 1))


def answered_by(route: str, status: int) -> None:
    """Names the route and the status of the call that is being answered, where there is one."""
    call = CALL.get()
    if call is not None:
        call.route, call.status = route, status


@contextmanager
def concerning(request_ids: Iterable[str]) -> Iterator[None]:
    """What this thread logs meanwhile bears these ids."""
    token = REQUEST_ID.set(",".join(filter(None, request_ids)))
    try:
        yield
    finally:
        REQUEST_ID.reset(token)
