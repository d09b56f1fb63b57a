"""What a protocol run is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, field_validator

from liverank.config.base import Section
from liverank.errors import ConfigError
from liverank.instants import instant_of

Protocol = Literal["leave-one-out", "temporal", "prequential", "lists"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)
_ONLY: Mapping[str, tuple[str, ...]] = {
    "lists": ("leave-one-out",),
    "cold": ("leave-one-out",),
    "keep_seen": ("leave-one-out", "temporal"),
    "renumber": ("leave-one-out", "temporal"),
    "shuffle_ties": ("leave-one-out",),
    "max_users": ("leave-one-out", "temporal"),
    "share": ("temporal", "prequential", "lists"),
    "cut": ("prequential",),
}
"""Setting -> the protocols to which it means something."""


class ProtocolSettings(Section):
    """The options of `liverank evaluate --protocol`."""

    protocol: Protocol = Field("leave-one-out", description="How the data is split and what is ranked.")
    k: int = Field(10, ge=1, le=1000, description="Cut-off of NDCG, hit rate and recall, in places.")
    seeds: int = Field(1, ge=1, le=100, description="Trainings, each with a seed of its own.")
    lists: tuple[int, ...] = Field((), description="Lengths of retrieved lists that the blend re-ranks.")
    cold: float = Field(0.0, ge=0, lt=1, description="Share of the items that is hidden from all training.")
    renumber: bool = Field(False, description="Give the items random numbers as ids first.")
    shuffle_ties: bool = Field(False, description="Put a user's events of one instant in a random order first.")
    keep_seen: bool = Field(False, description="Rank what the user had before too.")
    max_users: int = Field(0, ge=0, description="Users that are taken, drawn at random; 0: all.")
    share: float = Field(0.1, gt=0, lt=0.5, description="Share that is the test: of the time, or of the baskets.")
    cut: str = Field("", description="ISO date from which baskets are scored; empty: told by `share`.")

    @field_validator("lists")
    @classmethod
    def _each_length_once(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(lengths)) < len(lengths):
            raise ValueError("each length of lists may be named once")
        return lengths

    def explain(self) -> dict[str, Any]:
        """The settings that mean something to the protocol."""
        named = self.model_dump(mode="json")
        return {name: value for name, value in named.items() if self.protocol in _ONLY.get(name, PROTOCOLS)}


def protocol_settings(given: Mapping[str, Any]) -> ProtocolSettings:
    """Settings from options; those that are None keep their defaults.

    Raises:
        ConfigError: a value has no meaning, or means nothing to the protocol.
    """
    told = {name: value for name, value in given.items() if value is not None}
    try:
        settings = ProtocolSettings.model_validate(told)
    except ValidationError as problem:
        error = problem.errors()[0]
        name = str(error["loc"][0])
        about = ProtocolSettings.model_fields[name].description if name in ProtocolSettings.model_fields else ""
        raise ConfigError(f"--{option(name)}: {error['msg']}.", about or "") from None
    for name in told:
        allowed = _ONLY.get(name, PROTOCOLS)
        if settings.protocol not in allowed and told[name]:
            raise ConfigError(
                f"--{option(name)} means nothing to the protocol {settings.protocol}.",
                f"Leave it out, or choose --protocol {' or '.join(allowed)}.",
            )
    cut_of(settings.cut)
    if any(length < 1 for length in settings.lists):
        raise ConfigError("--lists: a list has at least one place.", "Write for example --lists 20,100.")
    return settings


def cut_of(text: str) -> datetime | None:
    """The instant at which a prequential test begins; None for no text."""
    return instant_of(text, "--cut") if text else None


def option(name: str) -> str:
    """A setting's name on the command line."""
    return name.replace("_", "-")
