"""What a protocol trains with: what it changes of the configuration, and what of it means nothing there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from liverank.config.base import differences
from liverank.config.training import TrainingConfig
from liverank.errors import ConfigError
from liverank.evaluation.protocols.settings import PROTOCOLS

NO_DECAY_DAYS: Final = 1e6
SAMPLED: Final = "sampled candidates"
SAMPLED_TRAINED: Final = "sampled candidates, trained"
_HALF_LIVES: Final = ("half_life_days", "popularity_half_life_days", "established_half_life_days")
_ALL: Final = (*PROTOCOLS, SAMPLED, SAMPLED_TRAINED)
_WALK: Final = ("prequential",)
_MEANINGLESS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "feature_ranker": (_ALL, "the protocols know no features of candidates"),
    "launch.mode": (_ALL, "a protocol trains in its own process"),
    "interest.distil.teachers": (_WALK, "its interest model learns from events alone"),
    "interest.distil.seeds": (_WALK, "its interest model learns from events alone"),
    "lm.judgements": (_ALL, "a teacher may have been asked about what another split keeps for its test"),
    "lm.enabled": ((*_WALK, SAMPLED), "no language model re-ranks there"),
    "text.tune": ((SAMPLED,), "its rankers are never trained"),
    **dict.fromkeys(
        ("refit.enabled", "refit.epochs", "refit.learning_rate"),
        ((*_WALK, SAMPLED), "nothing is fitted again there as it is for a bundle"),
    ),
}
"""Key of the training section -> the protocols to which it means nothing, and why."""


def check_training(training: TrainingConfig, protocol: str) -> None:
    """Refuses settings that would be taken without any effect.

    Raises:
        ConfigError: a key differs from its default and means nothing to the protocol.
    """
    for key in changes(training):
        protocols, why = _MEANINGLESS.get(key.removeprefix("training."), ((), ""))
        if protocol in protocols:
            raise ConfigError(
                f"{key} means nothing to the protocol {protocol}: {why}.",
                f"Leave it out, or set it back: --set {key}={_default(key)}.",
            )


def undecayed(training: TrainingConfig, protocol: str) -> TrainingConfig:
    """Without decay by age where each user is asked at the end of their own events: what is old for one is not for all.

    A half-life that the configuration names, be it the default's, was asked for and stays.
    """
    if protocol != "leave-one-out":
        return training
    unnamed = [name for name in _HALF_LIVES if name not in training.count.model_fields_set]
    count = training.count.model_copy(update=dict.fromkeys(unnamed, NO_DECAY_DAYS))
    return training.model_copy(update={"count": count})


def changes(training: TrainingConfig) -> dict[str, Any]:
    """Dotted key -> value, of all that is not the default."""
    return {f"training.{key}": value for key, value in differences(training, TrainingConfig()).items()}


def told(changed: Mapping[str, Any]) -> str:
    """The changes as a sentence.

    >>> told({"training.seed": 8, "training.count.half_life_days": 1000000.0})
    'Training: the default configuration, but for training.seed 8, training.count.half_life_days 1,000,000.'
    """
    if not changed:
        return "Training: the default configuration."
    return f"Training: the default configuration, but for {', '.join(map(_told, changed.items()))}."


def _told(entry: tuple[str, Any]) -> str:
    key, value = entry
    if isinstance(value, bool):
        return f"{key} {str(value).lower()}"
    if isinstance(value, int | float):
        return f"{key} {value:,.15g}"
    return f"{key} {', '.join(map(str, value)) if isinstance(value, list) else value}"


def _default(key: str) -> str:
    value: Any = TrainingConfig().model_dump(mode="json")
    for part in key.split(".")[1:]:
        value = value[part]
    return str(value).lower() if isinstance(value, bool) else str(value)
