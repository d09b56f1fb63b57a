"""The core behind every door: from a rank request to the list that is shown, recorded and counted."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from msgspec import UNSET, structs

from liverank.config import Config
from liverank.pseudonyms import Pseudonyms, pseudonyms
from liverank.store import LiveStore
from serving import api
from serving.allocator import give_back_holes
from serving.api import RankRequest, RankResponse, Refused
from serving.asked import Asked, candidates_of, context_of, impression_of
from serving.batching import QueueFullError
from serving.calls import REQUEST_ID
from serving.causes import Causes
from serving.clock import Clock, utc_now
from serving.experiment import Arms
from serving.explaining import NOT_AVAILABLE
from serving.feature_log import sampled
from serving.impression_ids import ImpressionIds
from serving.interleaving import drafted
from serving.log import LogWriter
from serving.metrics import Metrics
from serving.model import ModelSource, ServedBundle, ServedModel
from serving.model_queue import ModelQueue
from serving.models import Models
from serving.query import QueryMatch
from serving.records import LiveRecords
from serving.scoring import Answer, Job, milliseconds
from serving.shadow import Shadow
from serving.shaping import Shaped, Shaper
from serving.shaping_queue import ShapingQueue
from serving.stages import EXPLAIN, SHAPING
from serving.telling import SentenceWriter
from serving.variants import Sources, VersionSource, references
from serving.visitors import visitor

LEAST_SHAPING_SECONDS = 0.005
"""What a call's lists get for their rules though the deadline has come: most take a tenth of it, and rules are worth
more than that."""


class RankingService:
    """One store, one log, one queue for the models. Building it loads them; coroutines run in the event loop."""

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
        weights = config.data.event_weights
        self.names = pseudonyms(limits.pseudonym_variable)
        self._metrics = metrics
        self._clock = Clock(clock, limits.max_future_seconds)
        self._shaper = Shaper(limits.surfaces, weights)
        wanted = references(limits)
        sources = sources or partial(VersionSource, config.resolved().registry)
        self.models = Models(source, wanted, sources, store, metrics, self._shaper.learn)
        self._impression_ids = ImpressionIds()
        self._arms = Arms(limits.experiment, self.models.__contains__)
        self.log = LogWriter(store, limits.queue_impressions, metrics.dropped.inc)
        self.records = LiveRecords(store, self.log, self.models, self.names, weights, self._clock, metrics)
        self._queue = ModelQueue(limits, self.models, wanted, store, metrics)
        self._shaping = ShapingQueue(limits.queue_requests)
        self._sentences = SentenceWriter(limits.sentences, lambda source: metrics.sentences.labels(source).inc())
        self._causes = Causes(limits, self._sentences, self._queue.beside)
        self._shadow = Shadow(
            limits.shadow,
            self.models.get,
            lambda: len(self._queue) > 0,
            (limits.shadow_queue, limits.max_new_texts),
            metrics,
        )
        metrics.watch(self._queue.__len__, self.log.__len__)
        metrics.freshness.watch(lambda: self.models.champion.bundle.manifest)

    def now(self) -> datetime:
        """The instant that a request would get now."""
        return self._clock.now()

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
        answers = await self._queue.answers(asked.job, asked.arm.models)
        answers = answers if query is None else [query.joined(answer) for answer in answers]
        shaped = await self._shaped(asked, answers, time.perf_counter() + LEAST_SHAPING_SECONDS)
        return await self._told(asked, answers, *shaped)

    async def match(self, query: str, request: RankRequest) -> QueryMatch:
        """Compares a query with the candidates' texts, as long as the request's deadline allows.

        Raises:
            Refused: as `rank`.
        """
        left = None if request.deadline_ms is None else request.deadline_ms / 1000
        user = self.names.user(request.user_id or visitor(request.session_id))
        candidates = candidates_of(self._offered(request))
        return await self._queue.match(query, candidates, self._arms.of(user).models[0], left)

    async def rank_all(self, requests: Sequence[RankRequest]) -> list[RankResponse]:
        """Ranks several lists, all or none: impressions are recorded once each has its scores.

        Raises:
            Refused: as `rank`, and 400 for more lists than may ever wait together.
        """
        limit = self._limits.queue_requests // self._arms.lists
        if len(requests) > limit:
            raise Refused(400, f"A call may rank {limit} lists (serving.queue_requests), this one has {len(requests)}.")
        asked = [self._asked(request, self.names) for request in requests]
        scoring = [asyncio.ensure_future(self._queue.answers(each.job, each.arm.models)) for each in asked]
        try:
            answers = await asyncio.gather(*scoring)
        finally:
            for task in scoring:
                task.cancel()
        # One after another, so that a call takes one place; all before any is recorded, since one may be refused.
        least = time.perf_counter() + LEAST_SHAPING_SECONDS
        shaped = [await self._shaped(each, of, least) for each, of in zip(asked, answers, strict=True)]
        return [await self._told(each, of, *so) for each, of, so in zip(asked, answers, shaped, strict=True)]

    def _asked(self, request: RankRequest, names: Pseudonyms) -> Asked:
        received = time.perf_counter()
        anonymous = "" if request.user_id else visitor(request.session_id)
        user = names.user(request.user_id or anonymous)
        if names:
            request = structs.replace(request, user_id=user, session_id=names.session(request.session_id))
        offered = self._offered(request)
        self._shaper.check(request)
        now = self._clock.now()
        at = api.request_time(request, self._clock.latest(now)) or now
        impression_id = self._impression_ids.next()
        logged = sampled(impression_id, self._limits.feature_log_share)
        deadline = None if request.deadline_ms is None else received + request.deadline_ms / 1000
        offer, context = candidates_of(offered), context_of(request, at)
        job = Job(user, offer, context, received, request.explain, deadline, logged, request_id=REQUEST_ID.get())
        return Asked(impression_id, request, offered, at, job, self._arms.of(user), anonymous)

    def _offered(self, request: RankRequest) -> api.Offered:
        return api.offered(request, self._limits.max_candidates, self._limits.max_text_characters)

    async def _told(self, asked: Asked, answers: Sequence[Answer], answer: Answer, shaped: Shaped) -> RankResponse:
        """The answer over the wire, of one model's or two interleaved, as shaped; has the impression recorded."""
        request, offered, arm = asked.request, asked.offered, asked.arm
        unexplained = request.explain and any(answer.contributions is None for answer in answers)
        impression_id, most = asked.impression_id, self._limits.feature_log_items
        began = time.perf_counter()
        lines, lacking = await self._causes.told(shaped.lines, offered.item_ids, answer.effects, asked.job.deadline)
        if answer.effects is not None:
            self._metrics.stages.lap(EXPLAIN, began)
        reasons = [NOT_AVAILABLE] if unexplained else []
        degraded = [*arm.lacking, *answer.degraded, *reasons, *shaped.lacking, *lacking]
        shown = tuple(degraded)
        if not self.log.note(lambda: impression_of(asked, answer, lines, shown, most, len(answers) > 1)):
            degraded.append("impression: not recorded")
        for reason in {reason.partition(":")[0] for reason in degraded}:
            self._metrics.degraded.labels(reason).inc()
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

    async def _shaped(self, asked: Asked, answers: Sequence[Answer], least: float) -> tuple[Answer, Shaped]:
        """The answer to show and its list, from a thread of its own where the rules are not light: until the deadline,
        or until `least` (on the clock of `time.perf_counter`) where that is later.

        Raises:
            Refused: 503 when too many lists wait there.
        """
        began = time.perf_counter()
        shape = partial(self._arranged, asked, answers, self.models[asked.arm.models[0]].bundle)
        light, deadline = self._shaper.light(asked.request), asked.job.deadline
        until = None if deadline is None else max(deadline, least)
        try:
            shaped = shape() if light else await self._shaping.done(shape, until)
        except TimeoutError:
            await asyncio.sleep(0)  # other requests have their turn between the lists of a call
            shaped = shape(hurried=True)
        except QueueFullError as full:
            raise Refused(503, "Too many lists wait for their rules.", {"Retry-After": "1"}) from full
        self._metrics.stages.lap(SHAPING, began)
        return shaped

    def _arranged(
        self, asked: Asked, answers: Sequence[Answer], bundle: ServedBundle, hurried: bool = False
    ) -> tuple[Answer, Shaped]:
        """What is shown: rules hold in it, so that they come after interleaving."""
        request, offered, arm, impression_id = asked.request, asked.offered, asked.arm, asked.impression_id
        if len(answers) == 1:
            return answers[0], self._shaper.shaped(request, offered, answers[0], bundle, impression_id, hurried)
        settled = self._shaper.settled(request, offered, answers[0], bundle)
        draft = drafted((answers[0], answers[1]), settled, f"{self._arms.salt}\0{impression_id}")
        shaped = self._shaper.shaped(request, offered, draft.answer, bundle, impression_id, hurried)
        return draft.answer, replace(shaped, lines=draft.attributed(shaped.lines, offered.item_ids, arm.teams))

    async def swap(self) -> ServedModel:
        """Has the champion of now take over, as `Models.swap` does; nothing keeps the former one in memory then.

        Raises:
            Refused: as `Models.swap`.
        """
        model = await self.models.swap()
        await self._queue.let_go()
        await asyncio.to_thread(_tidy)
        return model

    async def close(self) -> None:
        """Answers and writes what waits, then stops the threads; the store stays open."""
        await asyncio.to_thread(self._sentences.close)
        await self._queue.close()
        await self._shaping.close()
        await asyncio.to_thread(self._shadow.close)
        await asyncio.to_thread(self.log.close)
        await asyncio.to_thread(self.models.close)


def _tidy() -> None:
    """Frees what a model has left. An exception that a task kept knows frames, and so models, and is known by them;
    the collector of such cycles may not come by for long, since what a request leaves needs none.
    """
    gc.collect()
    give_back_holes()
