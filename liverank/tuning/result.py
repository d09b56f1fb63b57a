"""What a study found, as plain values that reports, files and MLflow take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from liverank.config import Config
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.tuning.folds import Fold
from liverank.tuning.space import Settings, Space
from liverank.tuning.study import DEFAULT, best_of
from liverank.tuning.trial import FOLDS, SAME_AS, SECONDS, SETTINGS, values_of

STATES: Mapping[TrialState, str] = {TrialState.COMPLETE: "done", TrialState.PRUNED: "stopped early"}


@dataclass(frozen=True)
class TrialRow:
    """One trial."""

    number: int
    state: str
    """`done`, or `stopped early`."""
    value: float | None
    """Mean over the folds of the metric under the blend; None where it was stopped early."""
    settings: Settings
    folds: list[dict[str, float]]
    """Mean of every ranker, one entry a fold that was judged."""
    seconds: float
    default: bool = False
    """Whether it has the settings of the configuration."""
    same_as: int | None = None
    """The earlier trial whose outcome it shares, as the settings are the same."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> TrialRow:
        """The row of a trial of the study."""
        told = trial.user_attrs
        return cls(
            trial.number,
            STATES[trial.state],
            trial.value if trial.state == TrialState.COMPLETE else None,
            told.get(SETTINGS, dict(trial.params)),
            told.get(FOLDS, []),
            float(told.get(SECONDS, 0.0)),
            bool(told.get(DEFAULT)),
            told.get(SAME_AS),
        )

    def ranker_means(self) -> dict[str, float]:
        """Ranker -> mean over the judged folds."""
        if not self.folds:
            return {}
        return {name: sum(fold[name] for fold in self.folds) / len(self.folds) for name in self.folds[0]}


@dataclass(frozen=True)
class FoldFacts:
    """What a fold held."""

    train_until: str
    judged_from: str
    events: int
    requests: int
    """Judged ones."""
    users: int

    @classmethod
    def of(cls, fold: Fold) -> FoldFacts:
        """The facts of a fold."""
        return cls(
            _instant(fold.train_until), _instant(fold.judged_from), len(fold.train.events), len(fold.judged),
            len(set(fold.users)),
        )  # fmt: skip


@dataclass(frozen=True)
class TuningResult:
    """What a study found."""

    study: str
    metric: str
    k: int
    confidence: float
    trials: list[TrialRow]
    best: TrialRow
    default: TrialRow
    search_gain: Interval
    """Best minus default on the requests of the search's folds, paired: too good, as the best of many is lucky too."""
    honest_gain: Interval
    """The same on the latest window, which no trial has seen."""
    honest_means: dict[str, float]
    """`best` and `default` -> mean on the latest window."""
    importances: dict[str, float]
    """Key -> share of the differences between trials that it explains; empty for too few trials."""
    folds: list[FoldFacts]
    """The last is the latest window."""
    sampler: str
    pruner: str
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool | None:
        """Whether the latest window confirms the gain; None where its interval does not say."""
        if self.honest_gain.low > 0:
            return True
        return False if self.honest_gain.high < 0 or self.best.default else None

    def metrics(self) -> dict[str, float]:
        """Flat numbers under names that MLflow and Kubeflow take."""
        values = {
            "best": self.best.value or 0.0,
            "default": self.default.value or 0.0,
            "final/best": self.honest_means["best"],
            "final/default": self.honest_means["default"],
        }
        for name, gain in (("gain", self.search_gain), ("final/gain", self.honest_gain)):
            values |= {name: gain.mean, f"{name}_low": gain.low, f"{name}_high": gain.high}
        named = {f"{name}/{self.metric}_at_{self.k}": value for name, value in values.items()}
        return {**named, "trials": float(len(self.trials))}

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {**asdict(self), "holds": self.holds, "metrics": self.metrics()}


def collect(
    study: optuna.Study,
    trials: Sequence[FrozenTrial],
    folds: Sequence[Fold],
    final: tuple[Mapping[str, float], Any],
    config: Config,
    notes: list[str],
) -> TuningResult:
    """Puts the result together.

    Args:
        study: the study.
        trials: its finished trials, at least the one with the present settings judged on all folds.
        folds: all of them, the latest last.
        final: means on the latest window, and the paired difference of each of its requests, `[requests]`.
        config: the whole configuration.
        notes: what the reader should know.
    """
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    default = next(trial for trial in done if trial.user_attrs.get(DEFAULT))
    best = best_of(done) or default
    tuning, judging = config.tuning, config.evaluation
    settings = (judging.bootstrap_samples, judging.confidence, judging.seed)
    searched = Bootstrap([user for fold in folds[:-1] for user in fold.users], *settings)
    last = Bootstrap(folds[-1].users, *settings)
    return TuningResult(
        study=study.study_name,
        metric=tuning.metric,
        k=judging.k,
        confidence=judging.confidence,
        trials=[TrialRow.of(trial) for trial in sorted(trials, key=lambda trial: trial.number)],
        best=TrialRow.of(best),
        default=TrialRow.of(default),
        search_gain=searched.interval(values_of(best) - values_of(default)),
        honest_gain=last.interval(final[1]),
        honest_means=dict(final[0]),
        importances=_importances(study, Space.of(tuning, config.training), tuning.seed),
        folds=[FoldFacts.of(fold) for fold in folds],
        sampler=tuning.sampler,
        pruner=tuning.pruner,
        notes=notes,
    )


LEAST_FOR_IMPORTANCES = 8


def _importances(study: optuna.Study, space: Space, seed: int) -> dict[str, float]:
    """fANOVA (Hutter et al., 2014) over the finished trials; empty where they are too few or all alike."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    keys = [one.key for one in space.parameters]
    whole = [trial for trial in study.get_trials(states=(TrialState.COMPLETE,)) if set(keys) <= set(trial.params)]
    if len(whole) < LEAST_FOR_IMPORTANCES or len({trial.value for trial in whole}) < 2:
        return {}
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed), params=keys)
    return {key: float(share) for key, share in found.items()}


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
