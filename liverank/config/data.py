"""Where the events come from and what each type of event is worth."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from liverank.config.base import Section

DEFAULT_WEIGHTS = {"view": 0.2, "click": 1.0, "cart": 2.0, "purchase": 3.0, "rating": 1.0, "dislike": -1.0}


class DataConfig(Section):
    """The sources of a run and the types of event they may hold."""

    source: str = Field("", description="File, folder or glob with the contract's records, or UCI Online Retail.")
    format: Literal["auto", "contract", "online-retail"] = Field("auto", description="How to read `source`.")
    live_store: str = Field("", description="Path of the live store whose log joins the source; empty for none.")
    timezone: str = Field(
        "",
        description="Zone of the source's timestamps that carry none, e.g. Europe/Paris; empty: such rows are set "
        "aside (UCI Online Retail: Europe/London).",
    )
    event_weights: dict[str, float] = Field(
        default=DEFAULT_WEIGHTS,
        description="Known event types and their weight as evidence of interest (negative: against).",
    )
    label_types: tuple[str, ...] = Field(
        ("click", "cart", "purchase", "rating"), description="Event types that make a candidate relevant in evaluation."
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            return name and ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
            raise ValueError(f"there is no time zone {name!r}; write one such as Europe/Paris or UTC") from problem
