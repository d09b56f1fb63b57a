"""What all sections of the configuration share: frozen, closed, every field described with its unit."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of `liverank.yaml`: immutable; a key without a meaning and a number that is not finite are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
