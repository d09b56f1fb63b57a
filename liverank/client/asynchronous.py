"""The client for asyncio: every call within its deadline, tried again where that is safe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from liverank.client.answers import (
    Candidate,
    Erased,
    Exported,
    Ranking,
    Reranking,
    Taken,
    given_order,
    incoming_order,
    with_event_ids,
)
from liverank.client.calling import Call, Caller
from liverank.client.circuit import CircuitBreaker
from liverank.client.errors import ClientError
from liverank.client.retrying import Backoff, Deadline


class AsyncClient:
    """Calls one liverank server over connections that it keeps; to be closed, or used in `async with`.

    Args:
        url: of the server, such as `http://localhost:8080`.
        token: the bearer token, where the server wants one.
        rank_deadline_ms: milliseconds for `rank` and `rerank`, retries and all, unless a call says otherwise.
        deadline_ms: the same for all other calls.
        backoff: how often calls are tried again, and after what wait.
        circuit: opens after failures in a row; `rank` and `rerank` ask no server then. Each call counts once, whatever
            it is, and a deadline that passes is a failure.
        connections: most connections at once.
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
        if httpx.URL(url).scheme not in ("http", "https"):
            raise ValueError(f"The server's URL must begin with http:// or https://, not {url!r}.")
        if not token.isascii():
            raise ValueError("The token must be of ASCII characters alone, as a header's value is.")
        self.circuit = circuit or CircuitBreaker()
        self._rank_deadline = Deadline(rank_deadline_ms).milliseconds
        self._deadline = Deadline(deadline_ms).milliseconds
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        # What is left of a call's deadline is the only limit on time.
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=None, limits=limits)
        self._caller = Caller(self._http, self.circuit, backoff or Backoff())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def rank(
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
        """Ranks candidates for a user: `POST /v1/rank`, whose fields docs/serving.md explains.

        Args:
            user_id: None for a visitor whom nobody knows; the answer's `user_id` is for their events.
            deadline_ms: for the whole call; the server is told what is left of it.
            fallback: whatever fails, return the candidates as they came (pins at their places, none that is excluded),
                and say why in `degraded`. False: raise.

        Raises:
            ClientError: without `fallback`; its types say what failed.
        """
        offered = list(candidates)
        fields = {"candidates": offered, "surface": surface, "explain": explain}
        more = {"user_id": user_id, "k": k, "context": context, "session_id": session_id, "rules": rules}
        fields |= {name: value for name, value in more.items() if value is not None}

        def body(deadline: Deadline) -> dict[str, Any]:
            return {**fields, "deadline_ms": deadline.for_server}

        deadline = Deadline(self._rank_deadline if deadline_ms is None else deadline_ms)
        try:
            return await self._caller.ask(Ranking, Call("POST", "/v1/rank", body, guarded=True), deadline)
        except ClientError as problem:
            if not fallback:
                raise
            return incoming_order(offered, rules, k, problem.message)

    async def rerank(
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
        """Reranks documents for a query and a user: `POST /v1/rerank`, which docs/rerank.md explains.

        `deadline_ms` and `fallback` are as in `rank`.

        Raises:
            ClientError: without `fallback`.
        """
        fields = {"query": query, "documents": documents, "surface": surface, "return_documents": return_documents}
        fields |= {"user_id": user_id, "top_n": top_n, "session_id": session_id}

        def body(deadline: Deadline) -> dict[str, Any]:
            return {**fields, "deadline_ms": deadline.for_server}

        deadline = Deadline(self._rank_deadline if deadline_ms is None else deadline_ms)
        try:
            return await self._caller.ask(Reranking, Call("POST", "/v1/rerank", body, guarded=True), deadline)
        except ClientError as problem:
            if not fallback:
                raise
            return given_order(len(documents), top_n, problem.message)

    async def events(self, records: Iterable[Any], *, deadline_ms: float | None = None) -> Taken:
        """Sends what users did, and any other records: `POST /v1/events`; returns once they are on the server's disk.

        Records are mappings or the structs of `liverank.events`. An interaction in a mapping without an `event_id` gets
        one, so that trying again is safe; give your own to be able to send it again in another call.

        Raises:
            ClientError: it is not known whether the server has taken them, except for `RefusedError`: it has not.
        """
        batch = {"events": with_event_ids(records)}
        return await self._caller.ask(
            Taken, Call("POST", "/v1/events", lambda _: batch, repeatable=True), self._by(deadline_ms)
        )

    async def items(self, items: Iterable[Any], *, deadline_ms: float | None = None) -> Taken:
        """Adds or changes items: `PUT /v1/items`; they are rankable when it returns.

        Raises:
            ClientError: as `events`.
        """
        batch = {"items": list(items)}
        return await self._caller.ask(
            Taken, Call("PUT", "/v1/items", lambda _: batch, repeatable=True), self._by(deadline_ms)
        )

    async def export(self, user_id: str, *, deadline_ms: float | None = None) -> Exported:
        """What the server's store holds about a user; nothing for an unknown one.

        Raises:
            ClientError: there was no answer.
        """
        return await self._caller.ask(Exported, Call("GET", _user(user_id), repeatable=True), self._by(deadline_ms))

    async def erase(self, user_id: str, *, deadline_ms: float | None = None) -> Erased:
        """Erases a user. Not tried again once it was sent: a second answer would not know what the first erased.

        Raises:
            ClientError: there was no answer; unless it is a `RefusedError`, the user may have been erased.
        """
        return await self._caller.ask(Erased, Call("DELETE", _user(user_id)), self._by(deadline_ms))

    def _by(self, deadline_ms: float | None) -> Deadline:
        return Deadline(self._deadline if deadline_ms is None else deadline_ms)


def _user(user_id: str) -> str:
    if not user_id:
        raise ValueError("A user id must not be empty.")
    # A path of dots would be taken for another folder.
    name = quote(user_id, safe="") if user_id.strip(".") else user_id.replace(".", "%2E")
    return f"/v1/users/{name}"
