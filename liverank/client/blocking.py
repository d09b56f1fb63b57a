"""The client for code without asyncio: the same calls, made by an event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from liverank.client.answers import Candidate, Erased, Exported, Ranking, Reranking, Taken
from liverank.client.asynchronous import AsyncClient
from liverank.client.circuit import CircuitBreaker
from liverank.client.retrying import Backoff

T = TypeVar("T")


class _Loop:
    """An event loop on a thread that ends with the process, and the client that lives in it."""

    def __init__(self, make: Callable[[], AsyncClient]) -> None:
        self.owner = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="liverank-client", daemon=True)
        self._thread.start()
        self.client = make()

    def result(self, call: Coroutine[Any, Any, T]) -> T:
        """Waits for a call, and gives it up when the wait is interrupted."""
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        self.result(self.client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Client:
    """As `AsyncClient`, with calls that wait; to be closed, or used in `with`. Threads may share it.

    Deadlines hold here as they do there, also against a server that sends its answer byte by byte. A process that was
    forked makes its own connections. The arguments are those of `AsyncClient`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        rank_deadline_ms: float = 500,
        deadline_ms: float = 10_000,
        backoff: Backoff | None = None,
        circuit: CircuitBreaker | None = None,
        connections: int = 100,
    ) -> None:
        self.circuit = circuit or CircuitBreaker()

        def make() -> AsyncClient:
            return AsyncClient(
                url,
                token=token,
                rank_deadline_ms=rank_deadline_ms,
                deadline_ms=deadline_ms,
                backoff=backoff,
                circuit=self.circuit,
                connections=connections,
            )

        self._make = make
        self._loop = _Loop(make)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections and ends the thread."""
        if self._loop.owner == os.getpid():
            self._loop.close()

    def rank(
        self,
        user_id: str | None,
        candidates: Iterable[str | Candidate | Mapping[str, Any]],
        *,
        k: int | None = None,
        context: Mapping[str, str] | None = None,
        session_id: str | None = None,
        surface: str = "",
        explain: bool = False,
        rules: Mapping[str, Any] | None = None,
        deadline_ms: float | None = None,
        fallback: bool = True,
    ) -> Ranking:
        """As `AsyncClient.rank`.

        Raises:
            ClientError: without `fallback`.
        """
        return self._result(
            lambda client: client.rank(
                user_id,
                candidates,
                k=k,
                context=context,
                session_id=session_id,
                surface=surface,
                explain=explain,
                rules=rules,
                deadline_ms=deadline_ms,
                fallback=fallback,
            )
        )

    def rerank(
        self,
        query: str,
        documents: Sequence[str | Mapping[str, Any]],
        *,
        user_id: str | None = None,
        top_n: int | None = None,
        session_id: str | None = None,
        surface: str = "",
        return_documents: bool = False,
        deadline_ms: float | None = None,
        fallback: bool = True,
    ) -> Reranking:
        """As `AsyncClient.rerank`.

        Raises:
            ClientError: without `fallback`.
        """
        return self._result(
            lambda client: client.rerank(
                query,
                documents,
                user_id=user_id,
                top_n=top_n,
                session_id=session_id,
                surface=surface,
                return_documents=return_documents,
                deadline_ms=deadline_ms,
                fallback=fallback,
            )
        )

    def events(self, records: Iterable[Any], *, deadline_ms: float | None = None) -> Taken:
        """As `AsyncClient.events`.

        Raises:
            ClientError: it is not known whether the server has taken them, except for `RefusedError`: it has not.
        """
        return self._result(lambda client: client.events(records, deadline_ms=deadline_ms))

    def items(self, items: Iterable[Any], *, deadline_ms: float | None = None) -> Taken:
        """As `AsyncClient.items`.

        Raises:
            ClientError: as `events`.
        """
        return self._result(lambda client: client.items(items, deadline_ms=deadline_ms))

    def export(self, user_id: str, *, deadline_ms: float | None = None) -> Exported:
        """As `AsyncClient.export`.

        Raises:
            ClientError: there was no answer.
        """
        return self._result(lambda client: client.export(user_id, deadline_ms=deadline_ms))

    def erase(self, user_id: str, *, deadline_ms: float | None = None) -> Erased:
        """As `AsyncClient.erase`.

        Raises:
            ClientError: there was no answer; unless it is a `RefusedError`, the user may have been erased.
        """
        return self._result(lambda client: client.erase(user_id, deadline_ms=deadline_ms))

    def _result(self, call: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        if self._loop.owner != os.getpid():
            # The thread did not come along, and the connections are the parent's.
            self._loop = _Loop(self._make)
        return self._loop.result(call(self._loop.client))
