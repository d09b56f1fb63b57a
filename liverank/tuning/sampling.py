"""Who proposes settings and who ends trials early; a seed decides a study even if it is cut off and taken up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from liverank.config.tuning import TuningConfig

AGAIN_OF: Final = "again_of"
"""User attribute of a trial that repeats one which was cut off: that one's number."""
STARTUP: Final = 10
"""Trials drawn by chance before the model of what does well proposes."""


class SeededByPlace(BaseSampler):
    """Draws each trial with a generator of its own, made from the seed and the trial's place in the study.

    A sampler with one generator goes on with other numbers after the study was taken up. Here the place of a trial that
    repeats another is that one's, so a study that was cut off proposes what it would have proposed anyway.
    """

    def __init__(self, kind: str, seed: int) -> None:
        self._kind, self._seed = kind, seed
        self._inner: BaseSampler = self._made(0)

    def _made(self, place: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([self._seed, place]).generate_state(1)[0])
        if self._kind == "tpe":
            return TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True)
        return RandomSampler(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Makes the trial's generator."""
        self._inner = self._made(place_of(trial, study.get_trials(deepcopy=False)))
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler within."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler within."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the sampler within."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """As the sampler within."""
        self._inner.after_trial(study, trial, state, values)


def place_of(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> int:
    """The trial's number as if no trial had been cut off and repeated."""
    first = {one.number: one.user_attrs[AGAIN_OF] for one in trials if AGAIN_OF in one.user_attrs}
    number = trial.number
    while number in first:
        number = first[number]
    return number - sum(again < number for again in first)


def sampler_of(config: TuningConfig) -> BaseSampler:
    """The configured sampler; the grid is enqueued whole, so that none has to propose it."""
    return SeededByPlace(config.sampler, config.seed)


def pruner_of(config: TuningConfig) -> BasePruner:
    """The configured pruner, with a fold as its step."""
    if config.pruner == "median":
        return MedianPruner(n_startup_trials=5)
    if config.pruner == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=config.folds, reduction_factor=3)
    return NopPruner()
