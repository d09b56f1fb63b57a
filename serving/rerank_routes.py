"""`POST /rerank`, `/v1/rerank` and `/v2/rerank`: from a request of the rerank protocol to its answer."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from serving.json_answers import json_answer
from serving.metrics import Metrics
from serving.query import QueryMatch
from serving.rerank import Reranking, RerankResponse, answered, reranking
from serving.scoring import milliseconds
from serving.service import RankingService
from serving.stages import DECODE, ENCODE

PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")
LEAST_MS = 0.001
"""What a ranking is given of a deadline that has passed: it answers at once."""


class RerankRoute:
    """One endpoint for all three paths; only the version that an answer names differs."""

    def __init__(self, service: RankingService, name: str, metrics: Metrics) -> None:
        self._metrics = metrics
        self._service = service
        self._name = name

    async def __call__(self, request: Request) -> Response:
        """Reranks the documents of a request."""
        started = time.perf_counter()
        body = await request.body()
        asked = reranking(body, request.headers, self._service.models.champion.bundle.catalogue.index)
        asked.check_lengths(self._service.longest_text)
        self._metrics.stages.lap(DECODE, started)
        version = "2" if request.url.path.startswith("/v2/") else "1"
        reranked = await self._reranked(asked, version, started)
        began = time.perf_counter()
        answer = json_answer(reranked)
        self._metrics.stages.lap(ENCODE, began)
        return answer

    async def _reranked(self, asked: Reranking, version: str, started: float) -> RerankResponse:
        query = await self._matched(asked)
        spent = milliseconds(time.perf_counter() - started)
        deadline = asked.request.deadline_ms
        left = None if deadline is None else max(deadline - spent, LEAST_MS)
        ranked = await self._service.rank(asked.rank_request(query.by_item(asked.distinct), left), query)
        timing = {**ranked.timing_ms, "query": spent, "total": milliseconds(time.perf_counter() - started)}
        return answered(asked, ranked, self._name, version, timing)

    async def _matched(self, asked: Reranking) -> QueryMatch:
        if not asked.request.query.strip():
            return QueryMatch(None, 0.0)
        return await self._service.match(asked.request.query, asked.rank_request(None, asked.request.deadline_ms))
