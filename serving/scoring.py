"""What the model's thread does with a batch: read the histories, score, say what was missing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from liverank.config.experiment import CHAMPION
from liverank.errors import LiverankError, StoreError
from liverank.features.digest import history_digest
from liverank.ranking.baselines import incoming_scores
from liverank.ranking.blend import BlendRanker
from liverank.ranking.event_effects import ScoredList
from liverank.ranking.lm.cascade import CascadeRanker
from liverank.ranking.protocol import Candidates, Context, History, Ranker, Request, Scores, remembered
from liverank.store import LiveStore
from serving.calls import Lap, concerning
from serving.cascading import cascaded
from serving.explaining import Contributions, Effects, EventEffects, contributions, scored_by_blend, scored_lists
from serving.feature_log import UsedFeatures, used_features
from serving.histories import Histories
from serving.metrics import Metrics
from serving.model import ServedModel
from serving.stages import LM, MODEL, QUEUE, STORE
from serving.troubles import Troubles

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """One list to rank; `received` on the clock of `time.perf_counter`."""

    user_id: str
    candidates: Candidates
    context: Context
    received: float
    explain: bool = False
    deadline: float | None = None
    """When the caller needs the answer, on the same clock; None: whenever it comes."""
    log_features: bool = False
    """Whether the answer is to bring the feature values that it used."""
    model: str = CHAMPION
    """Reference of the model that scores it."""
    queued: float | None = None
    """When it began to wait for the model, on the clock of `received`; None: when it was received."""
    request_id: str = ""
    """For the log; several lists of one call have the same."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The scores of a job, the version that gave them, what they lack, where the time went, and why on request."""

    version: str
    scores: Scores
    degraded: tuple[str, ...]
    timing_ms: dict[str, float]
    contributions: Contributions | None = None
    history_digest: str = ""
    """What the ranking knew of the user, by name; empty where no model ranked."""
    features: UsedFeatures | None = None
    """What it knew of the candidates, where that was asked for and the model has such features."""
    history: History | None = None
    """What was read of the user; None where nothing could be."""
    effects: Effects | None = None
    """What the user's events do to the scores, where reasons were asked for and the model can tell."""
    laps: tuple[Lap, ...] = ()
    """The stages on the model's thread; but for the queue, those of the whole batch."""


@dataclass(frozen=True, slots=True)
class _Scored:
    scores: Scores
    lacking: tuple[str, ...] = ()
    timing_ms: Mapping[str, float] = field(default_factory=dict)
    ranked: bool = True
    """Whether the model ranked, rather than the order that came in."""
    told: ScoredList | None = None
    """The list to be explained, where that was asked for and the model can tell."""


class Scorer:
    """Scores a batch with the model of the moment: all its lists with the same one."""

    def __init__(
        self,
        model: Callable[[], ServedModel],
        store: LiveStore,
        history_length: int,
        metrics: Metrics,
        rerank_seconds: float = 0.1,
        cache_mib: float = 0.0,
    ) -> None:
        self._model = model
        self._rerank_seconds = rerank_seconds
        self._store = store
        self._history_length = history_length
        self._metrics = metrics
        self._troubles = Troubles()
        self._histories = Histories(cache_mib, lambda hit: metrics.looked_up("history", int(hit), int(not hit)))
        self._ranker: Ranker | None = None

    def __call__(self, jobs: Sequence[Job]) -> list[Answer]:
        """One answer a job; never raises, what fails is named in `degraded`."""
        with concerning(dict.fromkeys(job.request_id for job in jobs)):
            return self._answers(jobs)

    def let_go(self) -> None:
        """Forgets the model that scored last and what it made of histories: it may have been taken over from, and whole
        models are large. Called on the thread that scores.
        """
        self._histories.clear()
        self._ranker = None

    def _answers(self, jobs: Sequence[Job]) -> list[Answer]:
        taken = time.perf_counter()
        model = self._model()
        ranker = model.bundle.primary
        if ranker is not self._ranker:
            # What another ranker made of a history is of no use, and would keep that ranker in memory.
            self.let_go()
            self._ranker = ranker
        read = [self._history(job) for job in jobs]
        requests = [
            Request(history, job.candidates, job.context, job.user_id)
            for job, (history, _) in zip(jobs, read, strict=True)
        ]
        lagging = self._followed(model, jobs, lost=any(lacking for _, lacking in read))
        stored = time.perf_counter()
        scored = self._score(ranker, requests, jobs)
        why = [None if of.told is None else contributions(of.told, of.scores) for of in scored]
        cascade = isinstance(ranker, CascadeRanker)
        used = [
            used_features(ranker, request) if job.log_features and of.ranked else None
            for job, request, of in zip(jobs, requests, scored, strict=True)
        ]
        self._histories.weigh(job.user_id for job in jobs)
        ended = time.perf_counter()
        seconds = ended - taken
        laps = _laps(taken, stored, ended, sum(of.timing_ms.get("lm", 0.0) for of in scored) / 1000)
        self._metrics.scored([taken - job.received for job in jobs], seconds)
        return [
            Answer(
                model.version,
                of.scores,
                (*lacking, *lagging, *of.lacking),
                {"queue": milliseconds(taken - job.received), "model": milliseconds(seconds), **of.timing_ms},
                reasons,
                remembered(history, self, "digest", partial(history_digest, history)),
                features,
                None if lacking else history,
                None if of.told is None else EventEffects(of.told, "blend" if cascade else "served"),
                (Lap(QUEUE, job.received if job.queued is None else job.queued, taken), *laps),
            )
            for job, (history, lacking), of, reasons, features in zip(jobs, read, scored, why, used, strict=True)
        ]

    def _history(self, job: Job) -> tuple[History, tuple[str, ...]]:
        """What training will make of the log for this instant: events dated strictly before it."""
        try:
            history = self._store.history(job.user_id, self._history_length, job.context.timestamp)
            return self._histories.read(job.user_id, history), ()
        except StoreError as problem:
            self._troubles.say(problem)
            return History(), ("history: the live store cannot be read",)

    def _followed(self, model: ServedModel, jobs: Sequence[Job], lost: bool) -> tuple[str, ...]:
        """Has the model count the days before these requests; what is lacking, where the log cannot be read.

        Where the store was `lost` a moment ago, nobody waits for it again.
        """
        latest = max(job.context.timestamp for job in jobs)
        if model.follower is None or not model.follower.behind(latest):
            return ()
        try:
            if not lost:
                model.follower.reach(latest)
                return ()
        except LiverankError as problem:
            self._troubles.say(problem)
        return ("features: the counts of past days lag behind the live store",)

    def _score(self, ranker: Ranker, requests: Sequence[Request], jobs: Sequence[Job]) -> list[_Scored]:
        deadlines, explained = [job.deadline for job in jobs], [job.explain for job in jobs]
        try:
            if isinstance(ranker, CascadeRanker):
                found = cascaded(ranker, requests, deadlines, self._rerank_seconds, sum(explained))
                told = [
                    scored_by_blend(ranker, asked) if why else None
                    for asked, why in zip(requests, explained, strict=True)
                ]
                return [
                    _Scored(of.scores, of.lacking, {"lm": milliseconds(of.seconds)}, told=why)
                    for of, why in zip(found, told, strict=True)
                ]
            if isinstance(ranker, BlendRanker) and any(explained):
                lists = scored_lists(ranker, requests, explained)
                return [_Scored(of.scores, told=of) if isinstance(of, ScoredList) else _Scored(of) for of in lists]
            return [_Scored(scores) for scores in ranker.score_batch(requests)]
        except Exception as problem:  # noqa: BLE001  a list in the incoming order is better than none, and it says so
            if len(requests) > 1:
                # One list that the model cannot take must not degrade the others of its batch.
                each = zip(requests, jobs, strict=True)
                return [self._score(ranker, [request], [job])[0] for request, job in each]
            with concerning([jobs[0].request_id]):
                _log.exception("The model failed on a list of %d candidates.", len(requests[0].candidates))
            why = f"model: {type(problem).__name__}"
            return [_Scored(incoming_scores(requests[0].candidates), (why,), ranked=False)]


def _laps(taken: float, stored: float, ended: float, lm_seconds: float) -> tuple[Lap, ...]:
    """The stages of a batch; the language model's, which comes after the blend's scores, as the last of them."""
    scored = ended - lm_seconds
    lm = (Lap(LM, scored, ended),) if lm_seconds else ()
    return (Lap(STORE, taken, stored), Lap(MODEL, stored, scored), *lm)


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)
