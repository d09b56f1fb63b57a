"""What all sections of the configuration share: frozen, closed, every field described with its unit."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of `liverank.yaml`: immutable; a key without a meaning and a number that is not finite are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def differences(section: Section, default: Section) -> dict[str, Any]:
    """Dotted key -> value as in JSON, of all fields that another of the same kind has otherwise."""
    found: dict[str, Any] = {}
    plain = section.model_dump(mode="json")
    for name in type(section).model_fields:
        one, other = getattr(section, name), getattr(default, name)
        if isinstance(one, Section) and isinstance(other, Section):
            found |= {f"{name}.{key}": value for key, value in differences(one, other).items()}
        elif one != other:
            found[name] = plain[name]
    return found
