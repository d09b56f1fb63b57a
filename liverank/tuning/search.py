"""`tune`: searches better training settings on a features folder, and says honestly what they gain."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

import liverank
from liverank import progress
from liverank.config import Config
from liverank.config.training import TrainingConfig
from liverank.config.tuning import ParameterRange, coerced
from liverank.errors import DataError
from liverank.evaluation.lists import Floats
from liverank.output import output_folder
from liverank.tuning.folds import Fold
from liverank.tuning.judge import JUDGED
from liverank.tuning.result import TuningResult, collect
from liverank.tuning.sampling import pruner_of, sampler_of
from liverank.tuning.space import INTEREST, Space
from liverank.tuning.study import (
    DEFAULT,
    Place,
    TuningError,
    best_of,
    done,
    finished,
    held,
    open_study,
    storage_of,
    take_up,
)
from liverank.tuning.trial import FOLDS, KEY, SETTINGS
from liverank.tuning.workers import Order, quiet, run_apart, run_here

FINAL = "final"


def tune(features: Path, config: Config, out: Path | None = None) -> tuple[TuningResult, Path]:
    """Runs the trials that the study still lacks, judges the best on the latest window, and writes what was found.

    A study that was cut off, however hard, goes on where it was: finished trials are not repeated, one that was under
    way is.

    Args:
        features: a features folder; its validation and test requests are not looked at.
        config: the whole configuration; `training` is where the search starts from.
        out: folder of `best.yaml`, `report.html`, `trials.csv`, `trials.parquet` and `result.json`; None for the
            study's own folder in the workspace.

    Returns:
        What was found, and the folder it was written to.

    Raises:
        DataError: no features folder, or too little in it for so many folds.
        OutputError: nothing can be written into `out`.
        TuningError: the study is another's, or its storage cannot be used.
        RegistryError: MLflow does not take the study; everything is written by then.
    """
    from liverank.tuning.write import write_result

    quiet()
    notes: list[str] = []
    config = _prepared(config, notes)
    if out:
        output_folder(out)
    made_with = fingerprint(features, config)
    order = _order(features, config, made_with)
    with held(order.place):
        study = open_study(order.place, made_with, sampler_of(config.tuning), pruner_of(config.tuning))
        folds = order.folds()
        _run(study, order, folds)
        result = _result(study, order, folds, notes)
    folder = out or order.folder
    write_result(folder, result, config.training)
    if config.tuning.log_to_mlflow:
        from liverank.registry.studies import log_study

        log_study(config.registry, result, folder)
    return result, folder


def _prepared(config: Config, notes: list[str]) -> Config:
    config = config.resolved()
    if config.training.feature_ranker:
        notes.append("The feature ranker takes no part: its features are counted over the whole training time.")
    if not config.training.interest.enabled and any(key.startswith(INTEREST) for key in config.tuning.searched()):
        notes.append("The settings of the interest model are left out: training.interest.enabled is off.")
    if config.training.lm.enabled:
        notes.append("The language model takes no part: trials are judged by the blend, which it does not change.")
    lm = config.training.lm.model_copy(update={"enabled": False})
    training = config.training.model_copy(update={"feature_ranker": False, "lm": lm})
    for note in notes:
        progress.note(note)
    return config.model_copy(update={"training": training})


def fingerprint(features: Path, config: Config) -> dict[str, str]:
    """What all trials of a study share -> its hash: trials that differ in one of these cannot be compared.

    Raises:
        DataError: the features folder is none.
    """
    try:
        split = json.loads((features / "split.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DataError(f"{features} is no features folder ({problem}).", "Run the features step first.") from problem
    tuning = config.tuning.model_dump(mode="json")
    outside = ("trials", "timeout_minutes", "workers", "storage", "study", "log_to_mlflow", "space")
    parts: Mapping[str, Any] = {
        "data": split,
        "training": config.training.model_dump(mode="json", exclude={"threads", "device", "launch"}),
        "tuning": {name: value for name, value in tuning.items() if name not in outside},
        "space": {key: _range(key, where) for key, where in config.tuning.searched().items()},
        "lists": [config.features.history_length, config.features.candidates, config.data.label_types],
        "k": config.evaluation.k,
        "liverank": liverank.__version__,
    }
    return {name: _hash(value) for name, value in parts.items()}


def _range(key: str, where: ParameterRange) -> dict[str, Any]:
    return {**where.model_dump(mode="json"), "choices": [coerced(key, choice) for choice in where.choices]}


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """The value with all numbers as floats: what has travelled through Kubeflow has no others."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _order(features: Path, config: Config, made_with: Mapping[str, str]) -> Order:
    name = config.tuning.study or f"tune-{_hash(dict(made_with))[:8]}"
    folder = config.workspace_path / "tuning" / name
    return Order(features, config, Place(name, storage_of(config.tuning.storage, folder)), folder)


def _run(study: optuna.Study, order: Order, folds: list[Fold]) -> None:
    """Runs what is left of the study, the present settings first."""
    again = take_up(study, order.place)
    total = _enqueued(study, order)
    left = total - len(finished(study))
    if len(finished(study)) or again:
        progress.note(
            f"study {study.study_name}: {total - max(left, 0)} of {total} trials are done"
            + (f", {again} that were cut off are tried again" if again and left > 0 else "")
        )
    minutes = order.config.tuning.timeout_minutes
    until = time.monotonic() + minutes * 60 if minutes else math.inf
    with progress.stage("tuning", total) as stage:
        stage.done = float(total - max(left, 0))
        teller = _Teller(study, order.config, total, stage)
        # The present settings come first and alone: all others are compared with them.
        while left > 0 and not _default_done(study):
            run_here(study, order, folds, 1, math.inf, teller)
            left = total - len(finished(study))
        if left > 0 and order.config.tuning.workers > 1:
            run_apart(order, left, until, teller)
        elif left > 0:
            run_here(study, order, folds, left, until, teller)


def _enqueued(study: optuna.Study, order: Order) -> int:
    """Puts down the trials that are known beforehand; gives how many there shall be."""
    space = order.space()
    if not any(trial.user_attrs.get(DEFAULT) for trial in _not_failed(study)):
        study.enqueue_trial(space.drawable(), user_attrs={DEFAULT: True})
    if order.config.tuning.sampler != "grid":
        return order.config.tuning.trials
    others = [settings for settings in space.grid(order.config.tuning.seed) if settings != space.drawable()]
    others = others[: order.config.tuning.trials - 1]
    for settings in others:
        study.enqueue_trial(settings, skip_if_exists=True)
    return 1 + len(others)


def _not_failed(study: optuna.Study) -> list[FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]


def _default_done(study: optuna.Study) -> bool:
    return any(trial.user_attrs.get(DEFAULT) for trial in done(study))


class _Teller:
    """Says how each trial ended, and the best so far."""

    def __init__(self, study: optuna.Study, config: Config, total: int, stage: progress.Stage) -> None:
        self._study, self._total, self._stage = study, total, stage
        self._metric = f"{config.tuning.metric}@{config.evaluation.k}"
        self._folds = config.tuning.folds

    def __call__(self, number: int) -> None:
        trial = next(one for one in self._study.get_trials(deepcopy=False) if one.number == number)
        best = best_of(done(self._study))
        ended = len(finished(self._study))
        if trial.state == TrialState.COMPLETE:
            said = f"{self._metric} {trial.value:.4f}"
        else:
            said = f"stopped after {len(trial.user_attrs.get(FOLDS, []))} of {self._folds} folds"
        marked = " (present settings)" if trial.user_attrs.get(DEFAULT) else ""
        so_far = f"; best {best.value:.4f}, trial {best.number}" if best and best.value is not None else ""
        progress.note(f"trial {ended} of {self._total}: {said}{marked}{so_far}", trial=number, value=trial.value)
        self._stage.advance(ended - self._stage.done)


def _result(study: optuna.Study, order: Order, folds: list[Fold], notes: list[str]) -> TuningResult:
    every = finished(study)
    best = best_of(done(study))
    default = next((trial for trial in done(study) if trial.user_attrs.get(DEFAULT)), None)
    if best is None or default is None:
        raise TuningError(
            f"The present settings were not judged on all folds in the study {study.study_name}.",
            "Name another study, or remove this one's folder.",
        )
    with progress.stage("latest window"):
        mine, other = (_final(study, order, folds[-1], trial) for trial in (best, default))
    means = {"best": float(np.nanmean(mine)), "default": float(np.nanmean(other))}
    return collect(study, every, folds, (means, mine - other), order.config, notes)


def _final(study: optuna.Study, order: Order, fold: Fold, trial: FrozenTrial) -> Floats:
    """The metric of each request of the latest window under a trial's settings; kept in the study."""
    name = f"{FINAL}-{trial.user_attrs[KEY]}"
    if name not in study.user_attrs:
        config: TrainingConfig | None = Space.of(order.config.tuning, order.config.training).applied(
            trial.user_attrs[SETTINGS]
        )
        if config is None:
            raise TuningError(f"Trial {trial.number} of {study.study_name} is damaged.", "Name another study.")
        values = order.judge().score(fold, config).values[JUDGED]
        study.set_user_attr(name, [None if np.isnan(value) else float(value) for value in values])
    return np.asarray([np.nan if value is None else value for value in study.user_attrs[name]], np.float64)
