"""A test of several models on live traffic, and models that are scored on the side."""

from __future__ import annotations

import re
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from liverank.config.base import Section

CONTROL: Final = "control"
"""The variant that all others are compared with: the model that would serve without an experiment."""
CHAMPION: Final = "champion"
_MODEL: Final = r"^(champion|alias:[A-Za-z0-9_.\-]+|version:[0-9]+)$"
_NAME: Final = r"^[A-Za-z0-9_.\-]{1,64}$"


class VariantConfig(Section):
    """One arm of an experiment."""

    share: float | None = Field(
        None, gt=0, lt=1, description="Share of the users, in mode `split`; interleaved lists are everyone's."
    )
    model: str = Field(
        CHAMPION,
        pattern=_MODEL,
        description="`champion` (the model that serves anyway), or `alias:<name>` or `version:<number>` of the "
        "registry. `control` is always the former.",
    )


class ExperimentConfig(Section):
    """Named variants, one of them `control`."""

    name: str = Field(pattern=_NAME, description="Name of the experiment, in answers and impressions.")
    salt: str = Field("", description="What users are drawn by, with their ids; empty: the name. Another draws anew.")
    mode: Literal["split", "interleave"] = Field(
        "split",
        description="`split`: each user has one variant. `interleave`: each list is drafted from both variants' "
        "rankings, so that every user compares them.",
    )
    variants: dict[str, VariantConfig] = Field(description="Name -> variant.")

    @model_validator(mode="after")
    def _is_an_experiment(self) -> Self:
        if CONTROL not in self.variants or len(self.variants) < 2:
            raise ValueError(f"variants: there must be '{CONTROL}' and another one at least")
        if self.variants[CONTROL].model != CHAMPION:
            raise ValueError(f"variants.{CONTROL}.model: the control is the model that serves anyway; leave it out")
        for name in self.variants:
            if not re.fullmatch(_NAME, name):
                raise ValueError(f"variants: '{name}' must be 1 to 64 letters, digits, _ . or -")
        shares = [variant.share for variant in self.variants.values()]
        if self.mode == "interleave":
            self._check_interleaving(shares)
        elif None in shares or abs(sum(share or 0 for share in shares) - 1) > 1e-6:
            raise ValueError("variants: the shares of all variants must be given and sum to 1")
        return self

    def _check_interleaving(self, shares: list[float | None]) -> None:
        if len(shares) != 2:
            raise ValueError("variants: two rankings are interleaved, neither more nor fewer")
        if any(share is not None for share in shares):
            raise ValueError("variants: interleaved lists are everyone's; leave the shares out")

    @property
    def others(self) -> list[str]:
        """The variants beside the control."""
        return [name for name in self.variants if name != CONTROL]

    def shares(self) -> dict[str, float]:
        """Variant -> share of the users; empty where lists are interleaved."""
        return {name: variant.share for name, variant in self.variants.items() if variant.share is not None}


class ShadowConfig(Section):
    """A model that scores lists after they were answered; nobody sees what it would have shown."""

    model: str = Field(
        pattern=_MODEL.replace("champion|", ""), description="`alias:<name>` or `version:<number>` of the registry."
    )
    share: float = Field(0.1, gt=0, le=1, description="Share of the lists; the impression's id decides which.")
