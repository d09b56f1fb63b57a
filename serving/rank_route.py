"""From the body of a rank request to its answer: `POST /v1/rank`, and `/playground/rank` in its manner."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from liverank.pseudonyms import Pseudonyms
from serving import api
from serving.json_answers import json_answer
from serving.metrics import Metrics
from serving.service import RankingService
from serving.stages import DECODE, ENCODE


class RankRoute:
    """One endpoint."""

    def __init__(
        self,
        service: RankingService,
        metrics: Metrics,
        names: Pseudonyms | None = None,
        check: Callable[[api.RankRequest], None] = lambda asked: None,
    ) -> None:
        """Takes what ranks and what counts.

        Args:
            service: ranks.
            metrics: counts the stages.
            names: what the store calls users and sessions; default the service's own.
            check: raises `Refused` for a request that this door does not take.
        """
        self._service = service
        self._metrics = metrics
        self._names = names
        self._check = check

    async def __call__(self, request: Request) -> Response:
        """Ranks the candidates of a request."""
        began = time.perf_counter()
        asked = api.rank_request(await request.body())
        self._check(asked)
        self._metrics.stages.lap(DECODE, began)
        ranked = await self._service.rank(asked, names=self._names)
        began = time.perf_counter()
        answer = json_answer(ranked)
        self._metrics.stages.lap(ENCODE, began)
        return answer
