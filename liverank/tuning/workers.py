"""Trials in this process or in several: each takes its share of what is left, all on the same storage."""

from __future__ import annotations

import multiprocessing
import os
import queue
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from liverank.config import Config
from liverank.tuning.folds import Fold, ListSettings, load_folds
from liverank.tuning.judge import Judge
from liverank.tuning.sampling import pruner_of, sampler_of
from liverank.tuning.space import Space
from liverank.tuning.study import Place, TuningError, at_work

POLL_SECONDS = 0.2
OnTrial = Callable[[int], None]
"""Called with the number of each trial that has ended."""


@dataclass(frozen=True)
class Order:
    """What a process needs to take part in a study."""

    features: Path
    config: Config
    place: Place
    folder: Path
    """The study's folder."""

    def folds(self) -> list[Fold]:
        """All folds, the last one too."""
        features = self.config.features
        lists = ListSettings(
            features.history_length, features.candidates, self.config.data.label_types, self.config.training.count
        )
        return load_folds(self.features, lists, self.config.tuning)

    def judge(self, worker: int = 0) -> Judge:
        """The judge of one process; text embeddings that the first has made are there for all."""
        folder = self.folder / "checkpoints" / f"{worker}"
        if worker:
            folder.mkdir(parents=True, exist_ok=True)
            for made in (self.folder / "checkpoints" / "0").glob("embeddings-*.safetensors"):
                if not (folder / made.name).exists():
                    shutil.copyfile(made, folder / made.name)
        return Judge(self.config.tuning.metric, self.config.evaluation.k, folder)

    def space(self) -> Space:
        """The space in force."""
        return Space.of(self.config.tuning, self.config.training)


def quiet() -> None:
    """Keeps Optuna's own lines and warnings away: what matters is said here."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def run_here(
    study: optuna.Study, order: Order, folds: list[Fold], trials: int, until: float, on_trial: OnTrial, worker: int = 0
) -> None:
    """Runs so many trials in this process; none starts after `until` (`time.monotonic`, infinite for no limit)."""
    from liverank.tuning.trial import Objective, raise_interruption

    objective = Objective(folds[:-1], order.space(), order.judge(worker))

    def tell(_: optuna.Study, trial: FrozenTrial) -> None:
        on_trial(trial.number)

    for _ in range(trials):
        if time.monotonic() >= until:
            return
        try:
            study.optimize(objective, n_trials=1, callbacks=[tell])
        except Exception as problem:
            raise_interruption(problem)
            raise


def run_apart(order: Order, trials: int, until: float, on_trial: OnTrial) -> None:
    """Runs so many trials in `tuning.workers` processes.

    Raises:
        TuningError: a worker ended without a word.
        LiverankError: what a worker raised.
    """
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    shares = _shares(trials, order.config.tuning.workers)
    workers = [
        context.Process(target=_work, args=(order, share, max(0.0, until - time.monotonic()), told, at), daemon=True)
        for at, share in enumerate(shares, 1)
    ]
    try:
        _start(workers)
        _listen(workers, told, on_trial)
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()


def _start(workers: list[Any]) -> None:
    """Starts them deaf to Ctrl-C, which a terminal sends to all: who started them is who ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for worker in workers:
            worker.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _shares(trials: int, workers: int) -> list[int]:
    """So many trials for each worker, none for those that would have nothing to do."""
    each, more = divmod(trials, workers)
    return [share for at in range(workers) if (share := each + (at < more))]


def _listen(workers: list[Any], told: Any, on_trial: OnTrial) -> None:
    while True:
        ended = [worker for worker in workers if worker.exitcode is not None]
        try:
            said = told.get(timeout=POLL_SECONDS)
        except queue.Empty:
            _check(ended)
            if len(ended) == len(workers):
                return
            continue
        if isinstance(said, BaseException):
            raise said
        on_trial(said)


def _check(ended: list[Any]) -> None:
    for worker in ended:
        if worker.exitcode:
            raise TuningError(
                f"A worker of the study ended with exit code {worker.exitcode}.",
                "Run the same command again to go on; with fewer tuning.workers where memory was short.",
            )


def _work(order: Order, trials: int, seconds: float, told: Any, worker: int) -> None:
    """What a worker process does: trials until its share is done."""
    until = time.monotonic() + seconds
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    quiet()
    with at_work(order.place):
        try:
            tuning = order.config.tuning
            study = optuna.load_study(
                study_name=order.place.name,
                storage=order.place.open(),
                sampler=sampler_of(tuning),
                pruner=pruner_of(tuning),
            )
            run_here(study, order, order.folds(), trials, until, told.put, worker)
        except Exception as problem:  # noqa: BLE001  the parent raises it
            told.put(_portable(problem))
    told.close()
    told.join_thread()


def _portable(problem: Exception) -> Exception:
    """The problem as another process can be given it."""
    from liverank.errors import LiverankError

    if isinstance(problem, LiverankError):
        return type(problem)(problem.message, problem.hint)
    return RuntimeError(f"{type(problem).__name__} in a worker: {problem}")


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
