"""How a call is made: within its deadline, tried again where that is safe, and told to the circuit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import msgspec

from liverank.client.circuit import CircuitBreaker
from liverank.client.errors import (
    AnswerError,
    CircuitOpenError,
    DeadlineError,
    ForbiddenError,
    RefusedError,
    UnavailableError,
)
from liverank.client.retrying import Backoff, Deadline, retry_after

NOT_TAKEN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Failures after which the server has certainly not seen the request."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request; its `body` is made anew for each attempt, by what is left of the deadline then."""

    method: str
    path: str
    body: Callable[[Deadline], Any] | None = None
    repeatable: bool = False
    """Whether it does twice what it does once, so that it may be sent again when nobody knows whether it came."""
    guarded: bool = False
    """Whether an open circuit keeps it from being made."""


class _Again(Exception):
    """An attempt that may be followed by another."""

    def __init__(self, problem: UnavailableError, wait: float = 0.0) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.wait = wait


class Caller:
    """Makes calls over one pool of connections."""

    def __init__(self, http: httpx.AsyncClient, circuit: CircuitBreaker, backoff: Backoff) -> None:
        self._http = http
        self._circuit = circuit
        self._backoff = backoff

    async def ask(self, kind: type[T], call: Call, deadline: Deadline) -> T:
        """The answer to a call, read as a `kind`; tells the circuit how it ended.

        Raises:
            ClientError: there was none that could be used.
        """
        if call.guarded and not self._circuit.allows():
            raise CircuitOpenError("the circuit is open, calls failed again and again")
        try:
            answer = _decoded(kind, await self._sent(call, deadline))
        except RefusedError:
            self._circuit.succeeded()
            raise
        except UnicodeEncodeError as problem:
            # Half of a character, as careless cutting leaves it: no server could read it.
            raise RefusedError(400, f"not sent, a text of it is no Unicode: {problem}") from problem
        except UnavailableError:
            self._circuit.failed()
            raise
        self._circuit.succeeded()
        return answer

    async def _sent(self, call: Call, deadline: Deadline) -> bytes:
        """The answer of the first attempt that has one."""
        retry = 0
        while True:
            try:
                return await self._send(call, deadline)
            except _Again as again:
                wait = self._backoff.wait(retry, again.wait)
                # Whoever waits beyond the deadline waits for nothing.
                if retry >= self._backoff.retries or wait >= deadline.left:
                    raise again.problem from again
            retry += 1
            await asyncio.sleep(wait)

    async def _send(self, call: Call, deadline: Deadline) -> bytes:
        content = None if call.body is None else msgspec.json.encode(call.body(deadline))
        try:
            async with asyncio.timeout(deadline.left):
                response = await self._http.request(call.method, call.path, content=content)
        except TimeoutError as problem:
            raise DeadlineError(f"no answer within {deadline.milliseconds:g} ms") from problem
        except httpx.HTTPError as problem:
            found = UnavailableError(f"the server cannot be reached: {str(problem) or type(problem).__name__}")
            raise (_Again(found) if call.repeatable or isinstance(problem, NOT_TAKEN) else found) from problem
        if response.is_success:
            return response.content
        raise _problem(response, call)


def _problem(response: httpx.Response, call: Call) -> Exception:
    status, said = response.status_code, _said(response)
    if status in (429, 503):
        return _Again(UnavailableError(said, status), retry_after(response.headers.get("retry-after")))
    if status in (502, 504):
        problem = UnavailableError(said, status)
        return _Again(problem) if call.repeatable else problem
    if 400 <= status < 500:
        return (ForbiddenError if status == 403 else RefusedError)(status, said)
    return UnavailableError(said, status)


def _said(response: httpx.Response) -> str:
    try:
        return str(msgspec.json.decode(response.content, type=dict[str, Any])["error"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return f"status {response.status_code} {response.reason_phrase}".strip()


def _decoded(kind: type[T], content: bytes) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise AnswerError(f"the answer is not a liverank server's: {problem}") from problem
