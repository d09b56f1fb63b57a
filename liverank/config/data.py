"""Where the events come from and what each type of event is worth."""

from __future__ import annotations

import codecs
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from liverank.config.base import Section
from liverank.config.store_place import StorePlace

DEFAULT_WEIGHTS = {"view": 0.2, "click": 1.0, "cart": 2.0, "purchase": 3.0, "rating": 1.0, "dislike": -1.0}
_NO_FILES_ENCODING = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "unicode_escape")
FormatName = Literal[
    "auto",
    "contract",
    "online-retail",
    "movielens",
    "amazon",
    "mind",
    "metarank",
    "gorse",
    "personalize",
    "personalizer",
    "cloudevents",
    "sql",
    "kafka",
]


class SourceConfig(Section):
    """One source of records."""

    source: str = Field(
        "",
        description="File, folder or glob (local, or a URL such as s3://bucket/events/), a database's URL, or "
        "kafka://broker:9092/topic.",
    )
    format: FormatName = Field("auto", description="How to read `source`; auto: told by what is in it.")
    name: str = Field("", description="What reports call this source; empty: the last part of its path.")
    timezone: str = Field(
        "",
        description="Zone of the source's timestamps that carry none, e.g. Europe/Paris; empty: such rows are set "
        "aside (UCI Online Retail: Europe/London).",
    )
    encoding: str = Field(
        "",
        description="Encoding of CSV and JSON lines, e.g. cp1252, latin-1, utf-16, gb18030; empty: UTF-8, with or "
        "without a byte order mark.",
    )
    mapping: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="Table (items, users, impressions, interactions) -> field of the contract -> the source's column, "
        "with dots into nested JSON; fields that are not named keep their own name.",
    )
    queries: dict[str, str] = Field(
        default_factory=dict, description="Of a database: table of the contract -> the SQL query that gives its rows."
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            known = name and codecs.lookup(name).name
            # Python also calls encodings what turns text into text or bytes into bytes: rot13, base64, zip.
            if known and ("".encode(known).decode(known) or known in _NO_FILES_ENCODING):
                raise LookupError(name)
            return known
        except (LookupError, UnicodeError) as problem:
            raise ValueError(f"there is no encoding {name!r} of text; write one such as cp1252 or utf-16") from problem

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            return name and ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
            raise ValueError(f"there is no time zone {name!r}; write one such as Europe/Paris or UTC") from problem


class DataConfig(SourceConfig):
    """The sources of a run and the types of event they may hold; the section's own source is the first of them."""

    sources: tuple[SourceConfig, ...] = Field((), description="More sources, each with the keys above.")
    live_store: StorePlace = Field(
        "", description="Live store whose log joins the sources, as `serving.store` names one; empty for none."
    )
    replayed: str = Field(
        "auto",
        description="Folder of the rows that `liverank data replay` let pass; they go before others of the same id. "
        "auto: the workspace's; none: none.",
    )
    event_weights: dict[str, float] = Field(
        default=DEFAULT_WEIGHTS,
        description="Known event types and their weight as evidence of interest (negative: against).",
    )
    label_types: tuple[str, ...] = Field(
        ("click", "cart", "purchase", "rating"), description="Event types that make a candidate relevant in evaluation."
    )

    def every_source(self) -> tuple[SourceConfig, ...]:
        """The sources in order: replayed rows, where the folder is known, the section's own, the others; no live store.

        A record that several have is taken from the first of them.
        """
        own = SourceConfig(**{name: getattr(self, name) for name in SourceConfig.model_fields})
        more = () if self.replayed in ("auto", "none") else (replayed_source(self.replayed),)
        return (*more, *((own,) if own.source else ()), *self.sources)


def replayed_source(folder: str) -> SourceConfig:
    """The rows that `liverank data replay` let pass, as a source."""
    return SourceConfig(source=folder, format="contract", name="replayed")
