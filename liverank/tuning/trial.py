"""One trial: settings drawn, judged fold by fold, stopped where they fall behind, never judged twice."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from liverank.config.training import TrainingConfig
from liverank.evaluation.lists import Floats
from liverank.tuning.folds import Fold
from liverank.tuning.judge import JUDGED, FoldScore, Judge
from liverank.tuning.space import Space
from liverank.tuning.study import DEFAULT, ERROR

SETTINGS: Final = "settings"
KEY: Final = "key"
FOLDS: Final = "folds"
"""Means of every ranker, one entry a fold."""
REQUESTS: Final = "requests"
"""Values of the judged requests under the blend, one list a fold; null where nothing was relevant."""
SECONDS: Final = "seconds"
SAME_AS: Final = "same_as"
"""Number of the trial whose outcome was taken over, as the settings are the same."""
PROCESS: Final = "process"
"""Host and process that judged it."""
EXCLUDED: Final = "excluded"
_DIGITS: Final = 9


@dataclass(frozen=True)
class Objective:
    """What a trial is worth: the mean over the folds of the metric under the blend."""

    folds: Sequence[Fold]
    """The folds of the search; the last window of time is not among them."""
    space: Space
    judge: Judge
    on_fold: Callable[[], None] = lambda: None

    def __call__(self, trial: optuna.Trial) -> float:
        """Judges the trial.

        Raises:
            optuna.TrialPruned: it fell behind, or its settings exclude each other.
        """
        default = bool(trial.user_attrs.get(DEFAULT))
        settings = self.space.default(trial) if default else self.space.drawn(trial)
        config = self.space.applied(settings)
        trial.set_user_attr(SETTINGS, settings)
        trial.set_user_attr(PROCESS, f"{platform.node()}:{os.getpid()}")
        if config is None:
            trial.set_user_attr(EXCLUDED, True)
            raise optuna.TrialPruned("the settings exclude each other")
        trial.set_user_attr(KEY, hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:16])
        if twin := _twin(trial):
            return _taken_over(trial, twin)
        try:
            return self._judged(trial, config, default)
        except optuna.TrialPruned:
            raise
        except Exception as problem:
            raise_interruption(problem)
            trial.set_user_attr(ERROR, f"{type(problem).__name__}: {problem}"[:500])
            raise

    def _judged(self, trial: optuna.Trial, config: TrainingConfig, default: bool) -> float:
        started, before = time.monotonic(), _default_means(trial.study)
        scores: list[FoldScore] = []
        gains: list[float] = []
        for step, fold in enumerate(self.folds):
            scores.append(self.judge.score(fold, config))
            _put_down(trial, scores, time.monotonic() - started)
            self.on_fold()
            # Folds differ in how hard they are: only the gain over the present settings compares one with another.
            gains.append(scores[-1].means[JUDGED] - (before[step] if before else 0.0))
            if default or fold is self.folds[-1]:
                continue
            trial.report(float(np.mean(gains)), step)
            if trial.should_prune():
                raise optuna.TrialPruned(f"behind after fold {step + 1}")
        return float(np.mean([score.means[JUDGED] for score in scores]))


def raise_interruption(problem: Exception) -> None:
    """Raises the interruption that led to this problem, if one did.

    The storage and Optuna tidy up when they are interrupted, and what that raises would hide why.
    """
    cause: BaseException | None = problem
    while cause is not None:
        if not isinstance(cause, Exception):
            raise cause
        cause = cause.__cause__ or cause.__context__


def _put_down(trial: optuna.Trial, scores: Sequence[FoldScore], seconds: float) -> None:
    trial.set_user_attr(FOLDS, [{name: round(mean, _DIGITS) for name, mean in one.means.items()} for one in scores])
    trial.set_user_attr(REQUESTS, [_plain(one.values[JUDGED]) for one in scores])
    trial.set_user_attr(SECONDS, round(seconds, 3))


def _plain(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), _DIGITS) for value in values]


def _default_means(study: optuna.Study) -> list[float]:
    """The blend's means of the trial with the present settings; empty before it is done."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if trial.user_attrs.get(DEFAULT):
            return [means[JUDGED] for means in trial.user_attrs[FOLDS]]
    return []


def _twin(trial: optuna.Trial) -> FrozenTrial | None:
    """An earlier trial with the same settings: finished, or at work on them in another process."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    key = trial.user_attrs[KEY]
    same = [
        one
        for one in trial.study.get_trials(deepcopy=False, states=states)
        if one.user_attrs.get(KEY) == key and one.number < trial.number
    ]
    return min(same, key=lambda one: (one.state != TrialState.COMPLETE, one.number), default=None)


def _taken_over(trial: optuna.Trial, twin: FrozenTrial) -> float:
    trial.set_user_attr(SAME_AS, twin.user_attrs.get(SAME_AS, twin.number))
    if twin.state != TrialState.COMPLETE or twin.value is None:
        raise optuna.TrialPruned(f"the same settings as trial {twin.number}")
    for name in (FOLDS, REQUESTS):
        trial.set_user_attr(name, twin.user_attrs[name])
    return twin.value


def values_of(trial: FrozenTrial) -> Floats:
    """The judged requests of all folds in one array, NaN where nothing was relevant."""
    given: list[Any] = [value for fold in trial.user_attrs[REQUESTS] for value in fold]
    return np.asarray([np.nan if value is None else value for value in given], np.float64)
