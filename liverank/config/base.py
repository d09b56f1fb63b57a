"""What all sections of the configuration share: frozen, closed, every field described with its unit."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of `liverank.yaml`: immutable, and a key that has no meaning is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
