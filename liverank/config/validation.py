"""How strict the validation step is."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from liverank.config.base import Section

Severity = Literal["stop", "set-aside", "warn"]


class ValidationConfig(Section):
    """Limits and severities of the checks on the data contract."""

    severities: dict[str, Severity] = Field(
        default_factory=dict, description="Check name -> severity, in place of the check's own default."
    )
    suites: tuple[str | dict[str, Any], ...] = Field(
        (),
        description="Great Expectations suites of your own, as JSON files or globs of them (or the JSON itself); each "
        "says its table by its name or by meta.table.",
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
    scripts: tuple[str, ...] = Field(
        (),
        description="Scripts that the text of items may be written in, e.g. [Latin, Han]; empty: any. An item's script "
        "is the one with most of its letters.",
    )
    languages: tuple[str, ...] = Field(
        (),
        description="Languages that the text of items may be written in, as codes of ISO 639-1, e.g. [en, zh]; empty: "
        "any. Told on a sample of 10,000 items; an item whose language is not sure, as of many a short title, is in "
        "none and counts for none.",
    )
    max_other_languages: float = Field(
        0.05, ge=0, le=1, description="Share of items, of those whose language is told, that may be in another."
    )
    max_title_length: int = Field(1000, ge=1, description="Characters of a title above which an item is warned of.")
    max_text_length: int = Field(100_000, ge=1, description="Characters of a text above which an item is warned of.")
    max_events_per_hour: int = Field(
        2000, ge=1, description="Events within one clock hour above which a user is taken for a machine."
    )
    late_hours: float = Field(24, gt=0, description="Hours between an event and its arrival after which it is late.")
    max_late_share: float = Field(
        0.1, ge=0, le=1, description="Share of late events, of those whose arrival is known, above which is warned."
    )
    max_empty_days: int = Field(
        0, ge=0, description="Days without an interaction, between the first and the last, that are normal."
    )
    max_age_days: float = Field(
        0, ge=0, description="Age in days of the newest interaction above which is warned; 0: any age will do."
    )
    volume_tolerance: float = Field(
        3.0, gt=1, description="Factor by which rows, and rows a day, may differ from those of the last accepted runs."
    )
    max_category_drift: float = Field(
        0.1, gt=0, le=1, description="Jensen-Shannon divergence (base 2) of categories from the last accepted data's."
    )
    max_type_drift: float = Field(
        0.05, gt=0, le=1, description="Jensen-Shannon divergence (base 2) of event types from the last accepted data's."
    )
    max_new_words: float = Field(
        0.2, gt=0, le=1, description="Share of the words of titles that the last accepted data did not have."
    )
    max_language_drift: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Jensen-Shannon divergence (base 2) of the items' scripts, and of their languages where they are "
        "told, from the last accepted data's.",
    )
    history: int = Field(50, ge=1, description="Runs that the history of validations keeps.")
    sample_rows: int = Field(20, ge=0, description="Failing rows shown in the report for each check.")
