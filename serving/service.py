"""The core behind every door: ranks, takes records and items, exports and erases users."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from msgspec import UNSET, structs

from liverank.certificates import Erased
from liverank.config import Config
from liverank.errors import LiverankError
from liverank.events import Item, Record
from liverank.pseudonyms import Pseudonyms, pseudonyms
from liverank.ranking.baselines import incoming_scores
from liverank.store import LiveStore
from liverank.store.circuit import Unreachable
from serving import api
from serving.allocator import give_back_holes
from serving.api import RankRequest, RankResponse, Refused
from serving.asked import Asked, candidates_of, context_of, impression_of
from serving.batching import MicroBatcher, QueueFullError
from serving.calls import REQUEST_ID
from serving.causes import Causes
from serving.erasing import erase
from serving.experiment import Arms
from serving.explaining import NOT_AVAILABLE
from serving.feature_log import sampled
from serving.impression_ids import ImpressionIds
from serving.interleaving import drafted
from serving.log import LogWriter
from serving.metrics import Metrics
from serving.model import ModelSource, ServedModel
from serving.models import Models
from serving.query import NOT_COMPARED, QueryMatch
from serving.scoring import Answer, Job, Scorer, milliseconds
from serving.shadow import Shadow
from serving.shaping import Shaped, Shaper
from serving.stages import EXPLAIN, SHAPING
from serving.telling import SentenceWriter
from serving.texts import TextEncoding
from serving.variants import ScorerByModel, Sources, VersionSource, references
from serving.visitors import visitor


def utc_now() -> datetime:
    """The server's clock."""
    return datetime.now(UTC)


class RankingService:
    """One model, one store, one queue. Building it loads the model; coroutines run in the server's event loop."""

    def __init__(
        self,
        config: Config,
        store: LiveStore,
        source: ModelSource,
        metrics: Metrics,
        clock: Callable[[], datetime] = utc_now,
        sources: Sources | None = None,
    ) -> None:
        limits = config.serving
        self._limits = limits
        self._event_weights = config.data.event_weights
        self.names = pseudonyms(limits.pseudonym_variable)
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._shaper = Shaper(limits.surfaces, self._event_weights)
        wanted = references(limits)
        sources = sources or partial(VersionSource, config.resolved().registry)
        self.models = Models(source, wanted, sources, store, metrics, self._shaper.learn)
        self._impression_ids = ImpressionIds()
        self._arms = Arms(limits.experiment, self.models.__contains__)
        self.log = LogWriter(store, limits.queue_impressions, metrics.dropped.inc)
        self._scorers = ScorerByModel(self._scorer, wanted)
        self._batcher: MicroBatcher[Job, Answer] = MicroBatcher(
            self._scorers,
            limits.batch_requests,
            limits.queue_requests,
        )
        self._texts = TextEncoding(limits.max_new_texts, limits.queue_requests, metrics)
        self._sentences = SentenceWriter(limits.sentences, lambda source: metrics.sentences.labels(source).inc())
        self._causes = Causes(limits, self._sentences, self._batcher.beside)
        self._shadow = Shadow(
            limits.shadow,
            self.models.get,
            lambda: len(self._batcher) > 0,
            (limits.shadow_queue, limits.max_new_texts),
            metrics,
        )
        metrics.watch(self._batcher.__len__, self.log.__len__)
        metrics.freshness.watch(lambda: self.models.champion.bundle.manifest)

    def now(self) -> datetime:
        """The instant that a request would get now."""
        return self._clock()

    @property
    def ready(self) -> bool:
        """Whether a request would be ranked and its impression kept."""
        return self.log.alive

    @property
    def longest_text(self) -> int:
        """Characters that a text or a query may have."""
        return self._limits.max_text_characters

    async def rank(
        self, request: RankRequest, query: QueryMatch | None = None, names: Pseudonyms | None = None
    ) -> RankResponse:
        """Ranks the candidates, by what a `query` says too where there is one, and has the impression recorded.

        Args:
            request: what is asked for.
            query: how close each candidate is to what was searched for.
            names: what the store calls users and sessions; default `self.names`, as every caller from outside.

        Raises:
            Refused: 400 for a request that cannot be followed, 503 when too many wait.
        """
        asked = self._asked(request, names or self.names)
        answers = await self._score(asked)
        return await self._told(asked, answers if query is None else [query.joined(answer) for answer in answers])

    async def match(self, query: str, request: RankRequest) -> QueryMatch:
        """Compares a query with the candidates' texts, as long as the request's deadline allows.

        Raises:
            Refused: as `rank`.
        """
        offer, weight = candidates_of(self._offered(request)), self._limits.query_weight
        left = None if request.deadline_ms is None else request.deadline_ms / 1000
        user = self.names.user(request.user_id or visitor(request.session_id))
        bundle = self.models[self._arms.of(user).models[0]].bundle
        try:
            scores = await asyncio.wait_for(self._texts.matched(bundle, query, offer), left)
        except TimeoutError:
            return QueryMatch(None, weight, (f"{NOT_COMPARED} in the time left",))
        except QueueFullError as full:
            raise Refused(503, "Too many requests wait for the model.", {"Retry-After": "1"}) from full
        return QueryMatch(scores, weight, () if scores is not None else (NOT_COMPARED,))

    async def rank_all(self, requests: Sequence[RankRequest]) -> list[RankResponse]:
        """Ranks several lists, all or none: impressions are recorded once each has its scores.

        Raises:
            Refused: as `rank`, and 400 for more lists than may ever wait together.
        """
        limit = self._limits.queue_requests // self._arms.lists
        if len(requests) > limit:
            raise Refused(400, f"A call may rank {limit} lists (serving.queue_requests), this one has {len(requests)}.")
        asked = [self._asked(request, self.names) for request in requests]
        scoring = [asyncio.ensure_future(self._score(each)) for each in asked]
        try:
            answers = await asyncio.gather(*scoring)
        finally:
            for task in scoring:
                task.cancel()
        return [await self._told(each, of) for each, of in zip(asked, answers, strict=True)]

    def _asked(self, request: RankRequest, names: Pseudonyms) -> Asked:
        received = time.perf_counter()
        anonymous = "" if request.user_id else visitor(request.session_id)
        user = names.user(request.user_id or anonymous)
        if names:
            request = structs.replace(request, user_id=user, session_id=names.session(request.session_id))
        offered = self._offered(request)
        self._shaper.check(request)
        now = self._clock()
        at = api.request_time(request, self._latest(now)) or now
        impression_id = self._impression_ids.next()
        logged = sampled(impression_id, self._limits.feature_log_share)
        deadline = None if request.deadline_ms is None else received + request.deadline_ms / 1000
        offer, context = candidates_of(offered), context_of(request, at)
        job = Job(user, offer, context, received, request.explain, deadline, logged, request_id=REQUEST_ID.get())
        return Asked(impression_id, request, offered, at, job, self._arms.of(user), anonymous)

    def _offered(self, request: RankRequest) -> api.Offered:
        return api.offered(request, self._limits.max_candidates, self._limits.max_text_characters)

    async def _told(self, asked: Asked, answers: Sequence[Answer]) -> RankResponse:
        """The answer over the wire, of one model's or two interleaved; has the impression recorded."""
        request, offered, arm = asked.request, asked.offered, asked.arm
        unexplained = request.explain and any(answer.contributions is None for answer in answers)
        impression_id, most = asked.impression_id, self._limits.feature_log_items
        began = time.perf_counter()
        answer, shaped = self._shaped(asked, answers)
        self._metrics.stages.lap(SHAPING, began)
        began = time.perf_counter()
        lines, lacking = await self._causes.told(shaped.lines, offered.item_ids, answer.effects, asked.job.deadline)
        if answer.effects is not None:
            self._metrics.stages.lap(EXPLAIN, began)
        reasons = [NOT_AVAILABLE] if unexplained else []
        degraded = [*arm.lacking, *answer.degraded, *reasons, *shaped.lacking, *lacking]
        shown = tuple(degraded)
        if not self.log.note(lambda: impression_of(asked, answer, lines, shown, most, len(answers) > 1)):
            degraded.append("impression: not recorded")
        for reason in degraded:
            self._metrics.degraded.labels(reason.partition(":")[0]).inc()
        seconds = time.perf_counter() - asked.job.received
        timing = {**answer.timing_ms, "total": milliseconds(seconds)}
        if answer.history is not None:
            self._metrics.freshness.used(answer.history, asked.at.timestamp())
        self._shadow.offer(impression_id, asked.job, answer)
        said = RankResponse(
            impression_id, answer.version, lines, degraded, timing, shaped.costs, user_id=asked.visitor or UNSET
        )
        if not arm.experiment:
            return said
        self._metrics.ranked_by(arm.experiment, arm.variant, answer.version, seconds)
        return structs.replace(said, experiment=arm.experiment, variant=arm.variant or UNSET)

    def _shaped(self, asked: Asked, answers: Sequence[Answer]) -> tuple[Answer, Shaped]:
        """The answer to show and its list: rules hold in what is shown, so that they come after interleaving."""
        request, offered, arm, impression_id = asked.request, asked.offered, asked.arm, asked.impression_id
        bundle = self.models[arm.models[0]].bundle
        if len(answers) == 1:
            return answers[0], self._shaper.shaped(request, offered, answers[0], bundle, impression_id)
        settled = self._shaper.settled(request, offered, answers[0], bundle)
        draft = drafted((answers[0], answers[1]), settled, f"{self._arms.salt}\0{impression_id}")
        shaped = self._shaper.shaped(request, offered, draft.answer, bundle, impression_id)
        return draft.answer, replace(shaped, lines=draft.attributed(shaped.lines, offered.item_ids, arm.teams))

    async def append(self, records: Sequence[Record], names: Pseudonyms | None = None) -> int:
        """How many records were new, once they are on disk; items among them are rankable then. `names`: as `rank`.

        Raises:
            Refused: 400 for an event type without a weight or a time to come; 503 when the store cannot write.
        """
        api.check_types(records, self._event_weights)
        api.check_times(records, self._latest(self._clock()))
        try:
            new = await self.log.write((names or self.names).records(records))
        except Unreachable as problem:
            # A Redis that hangs may still find the call on its connection and do it.
            why = f"Send it again, nothing is taken twice; the live store does not answer: {problem}"
            raise Refused(503, why, {"Retry-After": "5"}) from problem
        except LiverankError as problem:
            why = f"Nothing was taken, the live store cannot write: {problem}"
            raise Refused(503, why, {"Retry-After": "5"}) from problem
        self._metrics.records.inc(new)
        self._metrics.freshness.acknowledged(records)
        items = [record for record in records if isinstance(record, Item)]
        if items:
            await self.models.add(items)
        return new

    async def swap(self) -> ServedModel:
        """Has the champion of now take over, as `Models.swap` does; nothing keeps the former one in memory then.

        Raises:
            Refused: as `Models.swap`.
        """
        model = await self.models.swap()
        await self._batcher.beside(self._scorers.let_go)
        await asyncio.to_thread(give_back_holes)
        return model

    async def export(self, user_id: str, names: Pseudonyms | None = None) -> Sequence[Record]:
        """Everything the store holds about a user; `names`: as `rank`."""
        await self.log.write([])
        names = names or self.names
        records = await asyncio.to_thread(self._store.user, names.user(user_id))
        return names.returned(records, user_id)

    async def erase(self, user_id: str) -> Erased:
        """Erases a user, and says which model versions saw them as far as this server can know."""
        await self.log.write([])
        models, now = self.models, self._clock()
        return await asyncio.to_thread(erase, user_id, self.names, self._store, models.source, models.champion, now)

    async def close(self) -> None:
        """Answers and writes what waits, then stops the threads; the store stays open."""
        await asyncio.to_thread(self._texts.close)
        await asyncio.to_thread(self._sentences.close)
        await self._batcher.close()
        await asyncio.to_thread(self._shadow.close)
        await asyncio.to_thread(self.log.close)
        await asyncio.to_thread(self.models.close)

    def _scorer(self, model: str) -> Scorer:
        limits = self._limits
        return Scorer(
            lambda: self.models[model],
            self._store,
            limits.history_length,
            self._metrics,
            limits.rerank_ms / 1000,
            limits.history_cache_mib,
        )

    def _latest(self, now: datetime) -> float:
        """The latest time a caller may name, in epoch seconds: clocks differ a little."""
        return now.timestamp() + self._limits.max_future_seconds

    async def _score(self, asked: Asked) -> Sequence[Answer]:
        """One answer, or the two that are interleaved."""
        job = asked.job
        if job.deadline is None:
            return await self._by_the_models(asked)
        left = job.deadline - time.perf_counter()
        try:
            return await asyncio.wait_for(self._by_the_models(asked), left)
        except TimeoutError:
            queued = {"queue": milliseconds(time.perf_counter() - job.received), "model": 0.0}
            why = "deadline: incoming order"
            version = self.models[asked.arm.models[0]].version
            return (Answer(version, incoming_scores(job.candidates), (why,), queued),)

    async def _by_the_models(self, asked: Asked) -> Sequence[Answer]:
        job, models = asked.job, asked.arm.models
        if len(models) == 1:
            return (await self._by_the_model(job, models[0]),)
        return await asyncio.gather(*(self._by_the_model(job, model) for model in models))

    async def _by_the_model(self, job: Job, model: str) -> Answer:
        try:
            candidates, lacking = await self._texts.encoded(self.models[model].bundle, job.candidates)
            job = replace(job, candidates=candidates, model=model, queued=time.perf_counter())
            answer = await self._batcher.submit(job)
        except QueueFullError as full:
            raise Refused(503, "Too many requests wait for the model.", {"Retry-After": "1"}) from full
        self._metrics.stages.take(*answer.laps)
        return replace(answer, degraded=(*lacking, *answer.degraded)) if lacking else answer
