"""The space of settings as trials draw from it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from pydantic import ValidationError

from liverank.config.training import TrainingConfig
from liverank.config.tuning import ParameterRange, TuningConfig, coerced, grid_values, training_field

Settings = dict[str, Any]
"""Dotted key of section `training` -> value."""
_ROUNDING = 1e-9
INTEREST = "interest."
LINEAR = "linear."


@dataclass(frozen=True)
class Parameter:
    """One searched setting."""

    key: str
    where: ParameterRange

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values to choose from, as the field takes them; empty for a range."""
        return tuple(coerced(self.key, value) for value in self.where.choices)

    def suggest(self, trial: optuna.Trial) -> Any:
        """The trial's value."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        low, high, log = float(self.where.low or 0), float(self.where.high or 0), self.where.log
        if training_field(self.key).annotation is int:
            return trial.suggest_int(self.key, int(low), int(high), step=int(self.where.step or 1), log=log)
        return trial.suggest_float(self.key, low, high, step=self.where.step, log=log)

    def holds(self, value: Any) -> bool:
        """Whether a value is one that a trial can have."""
        if self.choices:
            return value in self.choices
        low, high, step = float(self.where.low or 0), float(self.where.high or 0), self.where.step
        steps = (value - low) / step if step else 0.0
        return low <= value <= high and abs(steps - round(steps)) < _ROUNDING


@dataclass(frozen=True)
class Space:
    """All searched settings over the configuration that stays otherwise."""

    parameters: tuple[Parameter, ...]
    base: TrainingConfig

    @classmethod
    def of(cls, tuning: TuningConfig, training: TrainingConfig) -> Space:
        """The space in force; settings of the interest model and the linear ranker are left out where these are off."""
        off = (() if training.interest.enabled else (INTEREST,)) + (() if training.linear.enabled else (LINEAR,))
        kept = {key: at for key, at in tuning.searched().items() if not key.startswith(off)}
        return cls(tuple(Parameter(key, where) for key, where in kept.items()), training)

    def present(self) -> Settings:
        """The values that the configuration has now."""
        return {one.key: _get(self.base.model_dump(), one.key) for one in self.parameters}

    def drawable(self) -> Settings:
        """Of the present values those that lie in the space, so that a trial can be asked to have them."""
        present = self.present()
        return {one.key: present[one.key] for one in self.parameters if one.holds(present[one.key])}

    def drawn(self, trial: optuna.Trial) -> Settings:
        """The settings of a trial."""
        return {one.key: one.suggest(trial) for one in self.parameters}

    def default(self, trial: optuna.Trial) -> Settings:
        """The present settings; those that lie in the space are put down as the trial's own."""
        present, known = self.present(), self.drawable()
        return {one.key: one.suggest(trial) if one.key in known else present[one.key] for one in self.parameters}

    def applied(self, settings: Settings) -> TrainingConfig | None:
        """The configuration with these settings; None where two of them exclude each other."""
        values = self.base.model_dump()
        for key, value in settings.items():
            *sections, name = key.split(".")
            place = values
            for section in sections:
                place = place[section]
            place[name] = value
        try:
            return TrainingConfig.model_validate(values)
        except ValidationError:
            return None

    def grid(self, seed: int) -> list[Settings]:
        """Every combination, in an order that `seed` decides, so that a part of them is a fair part."""
        values = [grid_values(one.key, one.where) for one in self.parameters]
        every = [dict(zip(self.present(), at, strict=True)) for at in itertools.product(*values)]
        return [every[at] for at in np.random.default_rng(seed).permutation(len(every)).tolist()]


def _get(values: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values
