"""The search for better training settings: which settings, where they may lie, and how a trial is judged."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo

from liverank.config.base import Section
from liverank.config.evaluation import RankingMetric
from liverank.config.training import TrainingConfig

FIXED: Mapping[str, str] = {
    "seed": "the luckiest seed is no better setting",
    "device": "it changes the time only",
    "threads": "it changes the time only",
    "feature_ranker": "its features are counted over the whole training time, later than most folds",
    "launch": "it says where to train, not what",
    "text.cache_mib": "it changes time and memory only",
    "interest.checkpoint_steps": "it changes the time only",
    "interest.compile": "it changes the time only",
    "interest.accumulate": "it changes time and memory only",
    "interest.gradient_checkpointing": "it changes time and memory only",
    "interest.enabled": "compare with and without it in `liverank evaluate`",
    "linear.enabled": "compare with and without it in `liverank evaluate`",
    "refit": "a trial is judged on what comes right after its events: there is nothing more to learn",
    "blend.cold_price": "it is paid for what the metric of all requests does not see",
}
"""Keys of `training` that no search may choose (all below, where it is a section), and why."""
MOST_GRID = 10_000
_ROUNDING = 1e-9


class ParameterRange(Section):
    """Where one setting may lie: from `low` to `high`, or one of `choices`."""

    low: float | None = Field(None, description="Smallest value.")
    high: float | None = Field(None, description="Largest value.")
    log: bool = Field(False, description="Draw evenly on a logarithmic scale.")
    step: float | None = Field(None, gt=0, description="Distance of two values; none for a continuous range.")
    choices: tuple[bool | int | float | str, ...] = Field((), description="The values, instead of a range.")

    @model_validator(mode="after")
    def _is_a_range_or_choices(self) -> Self:
        ends = (self.low, self.high)
        if self.choices:
            if ends != (None, None) or self.log or self.step is not None:
                raise ValueError("give either choices, or low and high")
            if len(set(map(repr, self.choices))) < len(self.choices):
                raise ValueError("a choice is named twice")
        elif self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        elif not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g}), and both finite")
        elif self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a logarithmic range starts above 0 and has no step")
        return self


DEFAULT_SPACE: Mapping[str, ParameterRange] = {
    "count.window": ParameterRange(low=1, high=50, log=True),
    "count.popularity_power": ParameterRange(low=0, high=1),
    "count.query_items": ParameterRange(low=1, high=50, log=True),
    "count.query_decay": ParameterRange(low=0.3, high=1),
    "count.half_life_days": ParameterRange(low=7, high=730, log=True),
    "count.popularity_half_life_days": ParameterRange(low=1, high=120, log=True),
    "count.established_half_life_days": ParameterRange(low=20, high=720, log=True),
    "count.repeat_decay": ParameterRange(low=0.5, high=1),
    "count.basket_weight": ParameterRange(low=0, high=1),
    "count.learn_weights": ParameterRange(choices=(True, False)),
    "linear.neighbours": ParameterRange(choices=(50, 100, 200)),
    "linear.ridge": ParameterRange(low=5, high=500, log=True),
    "linear.user_damping": ParameterRange(low=0, high=1),
    "interest.block": ParameterRange(choices=("attention", "gated", "hstu", "lstm")),
    "interest.dimension": ParameterRange(choices=(64, 128, 192)),
    "interest.layers": ParameterRange(low=1, high=3),
    "interest.dropout": ParameterRange(low=0, high=0.5),
    "interest.id_dropout": ParameterRange(low=0, high=0.5),
    "interest.learning_rate": ParameterRange(low=1e-4, high=5e-3, log=True),
    "interest.weight_decay": ParameterRange(low=1e-4, high=0.1, log=True),
    "interest.label_smoothing": ParameterRange(low=0, high=0.3),
    "interest.averaging": ParameterRange(choices=(0.0, 0.99, 0.998, 0.9995)),
    "interest.history_length": ParameterRange(choices=(50, 100, 200)),
}
"""What is searched where `tuning.space` is empty. The weights of the blend are no settings: each fold learns them."""


class TuningConfig(Section):
    """`liverank tune`: trials of other settings, each judged by forward chaining over time."""

    trials: int = Field(40, ge=1, le=10_000, description="Trials of the study, the present settings among them.")
    timeout_minutes: float = Field(
        0, ge=0, description="Minutes after which no new trial starts; 0 for no limit. A later call goes on."
    )
    folds: int = Field(
        3, ge=1, le=20, description="Windows of time that judge each trial; one more, the latest, judges only the best."
    )
    window_share: float = Field(
        0.08, gt=0, le=0.3, description="Share of the requests of the training time in each window."
    )
    gap_seconds: float = Field(
        0,
        ge=0,
        description="Seconds between what a fold learns from and what judges it; their events are unused.",
    )
    max_requests: int = Field(
        300, ge=10, le=2000, description="Most requests of a window that fit the blend, and most that judge it."
    )
    metric: RankingMetric = Field("ndcg", description="What a trial is judged by, at `evaluation.k`, of the blend.")
    sampler: Literal["tpe", "random", "grid"] = Field(
        "tpe", description="Who proposes: a model of what did well so far, chance, or every combination in turn."
    )
    pruner: Literal["median", "hyperband", "none"] = Field(
        "median", description="Who ends a trial after a fold on which it falls behind."
    )
    study: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.\-]*$",
        description="Name of the study; empty: made from data and settings, so that others begin a study of their own.",
    )
    storage: str = Field(
        "",
        description="Where trials are kept: a file (journal), or a database as sqlite:///file or postgresql://...; "
        "empty: a journal in the workspace.",
    )
    workers: int = Field(1, ge=1, le=64, description="Processes that try settings at the same time.")
    seed: int = Field(7, ge=0, description="Seed of the proposals; with one worker it decides the whole study.")
    log_to_mlflow: bool = Field(True, description="Log the study and its trials to the MLflow of section `registry`.")
    space: dict[str, ParameterRange] = Field(
        default_factory=dict,
        description="Key of section `training` -> `{low, high, log, step}` or `{choices: [...]}`; empty: the package's "
        "own space (docs/tuning.md).",
    )

    @model_validator(mode="after")
    def _space_fits_the_settings(self) -> Self:
        for key, where in self.space.items():
            _check(key, where)
        return self

    @model_validator(mode="after")
    def _grid_is_finite(self) -> Self:
        if self.sampler == "grid":
            size = math.prod(len(grid_values(key, where)) for key, where in self.searched().items())
            if size > MOST_GRID:
                raise ValueError(f"the grid has {size:,} combinations, more than {MOST_GRID:,}: take fewer")
        return self

    @model_validator(mode="after")
    def _windows_leave_time_to_train(self) -> Self:
        taken = (self.folds + 1) * self.window_share
        if taken > 0.7:
            raise ValueError(f"folds + 1 windows of {self.window_share:g} take {taken:.0%} of the time, at most 70%")
        return self

    def searched(self) -> dict[str, ParameterRange]:
        """The space in force."""
        return dict(self.space or DEFAULT_SPACE)


def training_field(key: str) -> FieldInfo:
    """The field of `TrainingConfig` that a dotted key names.

    Raises:
        KeyError: there is none.
    """
    return dict(_fields(TrainingConfig, ""))[key]


def coerced(key: str, value: Any) -> Any:
    """The value as the key's field takes it.

    Raises:
        ValueError: the field does not take it.
    """
    field = training_field(key)
    kind: Any = Annotated[field.annotation, field]
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as problem:
        raise ValueError(f"{key} does not take {value!r}: {problem.errors()[0]['msg']}") from None


def grid_values(key: str, where: ParameterRange) -> list[Any]:
    """Every value of a range that has finitely many.

    Raises:
        ValueError: the range is continuous.
    """
    if where.choices:
        return [coerced(key, value) for value in where.choices]
    step = where.step or (1.0 if training_field(key).annotation is int else None)
    if step is None:
        raise ValueError(f"the grid needs a step or choices for {key}")
    low, high = float(where.low or 0), float(where.high or 0)
    count = math.floor((high - low) / step + _ROUNDING) + 1
    return [coerced(key, round(low + at * step, 12)) for at in range(count)]


def _check(key: str, where: ParameterRange) -> None:
    known = dict(_fields(TrainingConfig, ""))
    if key not in known:
        near = difflib.get_close_matches(key.removeprefix("training."), known, n=1, cutoff=0.4)
        hint = f"; did you mean '{near[0]}'?" if near else f"; keys are such as {', '.join(list(known)[-3:])}"
        raise ValueError(f"'{key}' is no key of section training{hint}")
    if reason := FIXED.get(key) or FIXED.get(key.split(".")[0]):
        raise ValueError(f"'{key}' is not searched: {reason}")
    if where.choices:
        for value in where.choices:
            coerced(key, value)
    elif known[key].annotation not in (int, float):
        raise ValueError(f"'{key}' is no number: give choices")
    else:
        for end in (where.low, where.high):
            coerced(key, end)
        if known[key].annotation is int and where.step is not None and where.step % 1:
            raise ValueError(f"'{key}' is a whole number, the step {where.step:g} is not")


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field
