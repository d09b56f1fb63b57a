"""How strict the validation step is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from liverank.config.base import Section

Severity = Literal["stop", "set-aside", "warn"]


class ValidationConfig(Section):
    """Limits and severities of the checks on the data contract."""

    severities: dict[str, Severity] = Field(
        default_factory=dict, description="Check name -> severity, in place of the check's own default."
    )
    max_set_aside: float = Field(
        0.5, gt=0, le=1, description="Share of interactions that may be set aside before the run stops."
    )
    min_interactions: int = Field(100, ge=1, description="Accepted interactions below which the run stops.")
    min_items: int = Field(2, ge=1, description="Accepted items below which the run stops.")
    max_future_seconds: float = Field(
        300, ge=0, description="Seconds that a timestamp may lie after the time of the run before its row is set aside."
    )
    earliest: str = Field(
        "1990-01-01",
        pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$",
        description="UTC day (ISO) before which a timestamp is taken for a mistake and its row set aside.",
    )
    sample_rows: int = Field(20, ge=0, description="Failing rows shown in the report for each check.")
