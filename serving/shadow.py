"""Models that score lists after they were answered, to see how far they would have shown something else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from queue import Empty, Full, Queue

import numpy as np

from liverank.config.experiment import ShadowConfig
from liverank.ranking.protocol import Request, Scores, ranking
from liverank.shaping.exploration import uniform
from serving.calls import concerning
from serving.metrics import Metrics
from serving.model import ServedModel
from serving.scoring import Answer, Job
from serving.texts import told_of_new, without_texts

TOP = 10
"""Items of both lists that are compared by their overlap."""
_PAUSE_SECONDS = 0.02
"""How long a list waits at least, so that its answer has left, and how often is looked whether requests wait."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    job: Job
    answer: Answer
    at: float


class Shadow:
    """Scores a share of the answered lists with models that nobody sees, on a thread of its own.

    It takes up a list only while no request waits for the model, and drops what its bounded queue cannot hold. The
    history is the one that the answer used, so that both models are asked the same.
    """

    def __init__(
        self,
        shadows: Mapping[str, ShadowConfig],
        model: Callable[[str], ServedModel | None],
        busy: Callable[[], bool],
        bounds: tuple[int, int],
        metrics: Metrics,
    ) -> None:
        """Starts the thread, where there is a shadow.

        Args:
            shadows: by name.
            model: the model of a reference; None where it could not be loaded.
            busy: whether requests wait for the model.
            bounds: lists that may wait, and new texts of a list that are encoded.
            metrics: takes what is found.
        """
        self._shadows = shadows
        self._model = model
        self._busy = busy
        self._waiting: Queue[_Entry] = Queue(bounds[0])
        self._new_texts = bounds[1]
        self._metrics = metrics
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        if shadows:
            self._thread.start()

    def offer(self, impression_id: str, job: Job, answer: Answer) -> None:
        """Has the answered list scored, where it is of the share; never waits."""
        for name, shadow in self._shadows.items():
            if uniform(name, impression_id, "shadow") >= shadow.share or answer.history is None:
                continue
            try:
                self._waiting.put_nowait(_Entry(name, job, answer, time.monotonic()))
            except Full:
                self._metrics.shadows.labels(name, "dropped").inc()

    def close(self) -> None:
        """Ends the thread; lists that wait are not scored."""
        self._stopped.set()
        if self._shadows:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                entry = self._waiting.get(timeout=_PAUSE_SECONDS)
            except Empty:
                continue
            while self._busy() or time.monotonic() < entry.at + _PAUSE_SECONDS:
                if self._stopped.wait(_PAUSE_SECONDS):
                    return
            with concerning([entry.job.request_id]):
                self._metrics.shadows.labels(entry.name, self._outcome(entry)).inc()
            # It knows what the model made of a history, and so the model: not until the next list comes.
            del entry

    def _outcome(self, entry: _Entry) -> str:
        model = self._model(self._shadows[entry.name].model)
        if model is None:
            return "not loaded"
        try:
            scores = self._scores(model, entry)
        except Exception:  # noqa: BLE001  nobody waits for it, and the counter says so
            _log.exception("The model on the side '%s' failed on a list.", entry.name)
            return "failed"
        self._metrics.shadow_overlap.labels(entry.name).observe(overlap(entry.answer.scores, scores, TOP))
        self._metrics.shadow_discordance.labels(entry.name).observe(discordance(entry.answer.scores, scores))
        return "compared"

    def _scores(self, model: ServedModel, entry: _Entry) -> Scores:
        job, history = entry.job, entry.answer.history
        assert history is not None
        if model.follower is not None:
            model.follower.reach(job.context.timestamp)
        # This thread must not touch what the model's thread keeps with the history.
        history = replace(history, memo=None)
        # As for a list that is shown: so many texts are read, and those that were are at hand.
        _, unread = told_of_new(model.bundle, job.candidates)
        candidates = without_texts(job.candidates, set(unread[self._new_texts :]))
        return model.bundle.primary.score_batch([Request(history, candidates, job.context, job.user_id)])[0]


def overlap(one: Scores, other: Scores, k: int) -> float:
    """Share of the first `k` items of one order that are among the first `k` of the other.

    >>> overlap(np.array([3, 2, 1], np.float32), np.array([3, 1, 2], np.float32), 2)
    0.5
    """
    k = min(k, len(one))
    return len(set(ranking(one)[:k].tolist()) & set(ranking(other)[:k].tolist())) / k


def discordance(one: Scores, other: Scores) -> float:
    """Share of the pairs that the two orders have the other way round, equal scores in the order that came in.

    Kendall's tau is 1 - 2 times this. 0 for lists of one item.

    >>> discordance(np.array([3, 2, 1], np.float32), np.array([1, 2, 3], np.float32))
    1.0
    """
    if len(one) < 2:
        return 0.0
    from scipy.stats import kendalltau

    tau = float(kendalltau(np.argsort(ranking(one)), np.argsort(ranking(other))).statistic)
    return round((1 - tau) / 2, 6)
