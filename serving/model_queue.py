"""The way of a request to the models and back: texts are encoded, lists scored in batches, in the time that is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from liverank.config.serving import ServingConfig
from liverank.ranking.baselines import incoming_scores
from liverank.ranking.protocol import Candidates
from liverank.store import LiveStore
from serving.api import Refused
from serving.batching import MicroBatcher, QueueFullError
from serving.metrics import Metrics
from serving.models import Models
from serving.query import NOT_COMPARED, WITHOUT_TEXT, QueryMatch
from serving.scoring import Answer, Job, Scorer, milliseconds
from serving.texts import TextEncoding
from serving.variants import ScorerByModel

R = TypeVar("R")
FULL = "Too many requests wait for the model."


class ModelQueue:
    """Lists wait here for the models' one thread; coroutines run in the server's event loop.

    Args:
        limits: how many may wait, and for how long a model may take.
        models: what scores.
        wanted: references of the models beside the champion.
        store: where histories are read.
        metrics: counts.
    """

    def __init__(
        self, limits: ServingConfig, models: Models, wanted: Sequence[str], store: LiveStore, metrics: Metrics
    ) -> None:
        self._limits = limits
        self._models = models
        self._store = store
        self._metrics = metrics
        self._texts = TextEncoding(limits.max_new_texts, limits.queue_requests, metrics)
        self._scorers = ScorerByModel(self._scorer, wanted)
        self._batcher: MicroBatcher[Job, Answer] = MicroBatcher(
            self._scorers, limits.batch_requests, limits.queue_requests
        )

    def __len__(self) -> int:
        return len(self._batcher)

    async def answers(self, job: Job, references: Sequence[str]) -> Sequence[Answer]:
        """One answer of each model, or a single one in the incoming order where the deadline came before.

        Raises:
            Refused: 503 when too many wait.
        """
        if job.deadline is None:
            return await self._scored(job, references)
        left = job.deadline - time.perf_counter()
        try:
            return await asyncio.wait_for(self._scored(job, references), left)
        except TimeoutError:
            queued = {"queue": milliseconds(time.perf_counter() - job.received), "model": 0.0}
            why = "deadline: incoming order"
            version = self._models[references[0]].version
            return (Answer(version, incoming_scores(job.candidates), (why,), queued),)

    async def match(self, query: str, candidates: Candidates, reference: str, left: float | None) -> QueryMatch:
        """How close each candidate's text is to a query, by that model, as long as `left` (seconds) allows.

        Raises:
            Refused: 503 when too many wait.
        """
        weight = self._limits.query_weight
        try:
            scores, lacking = await asyncio.wait_for(
                self._texts.matched(self._models[reference].bundle, query, candidates), left
            )
        except TimeoutError:
            return QueryMatch(None, weight, (f"{NOT_COMPARED} in the time left",))
        except QueueFullError as full:
            raise Refused(503, FULL, {"Retry-After": "1"}) from full
        if scores is None:
            return QueryMatch(None, weight, (NOT_COMPARED,))
        return QueryMatch(scores, weight, (WITHOUT_TEXT.format(lacking),) if lacking else ())

    async def beside(self, call: Callable[[], R]) -> R:
        """What `call` returns on the models' thread, where it has its turn between two batches."""
        return await self._batcher.beside(call)

    async def let_go(self) -> None:
        """Has the scorers forget models that may have been taken over from."""
        await self._batcher.beside(self._scorers.let_go)

    async def close(self) -> None:
        """Answers what waits, then stops the threads."""
        await asyncio.to_thread(self._texts.close)
        await self._batcher.close()

    def _scorer(self, model: str) -> Scorer:
        limits = self._limits
        return Scorer(
            lambda: self._models[model],
            self._store,
            limits.history_length,
            self._metrics,
            limits.rerank_ms / 1000,
            limits.history_cache_mib,
        )

    async def _scored(self, job: Job, references: Sequence[str]) -> Sequence[Answer]:
        if len(references) == 1:
            return (await self._scored_by(references[0], job),)
        return await asyncio.gather(*(self._scored_by(reference, job) for reference in references))

    async def _scored_by(self, reference: str, job: Job) -> Answer:
        try:
            candidates, lacking = await self._texts.encoded(
                self._models[reference].bundle, job.candidates, job.deadline
            )
            job = replace(job, candidates=candidates, model=reference, queued=time.perf_counter())
            answer = await self._batcher.submit(job)
        except QueueFullError as full:
            raise Refused(503, FULL, {"Retry-After": "1"}) from full
        self._metrics.stages.take(*answer.laps)
        return replace(answer, degraded=(*lacking, *answer.degraded)) if lacking else answer
