"""The formats by name, each imported only when it is asked for."""

from __future__ import annotations

import importlib
from typing import Final

from liverank.config.data import SourceConfig
from liverank.data.sources.parts import Format

SPECIFIC: Final = (
    "kafka",
    "sql",
    "online-retail",
    "movielens",
    "mind",
    "metarank",
    "gorse",
    "personalize",
    "personalizer",
    "amazon",
)
"""In the order in which a source is asked whether it is one of them."""
CONNECTED: Final = ("kafka", "sql")
"""Told by the address alone, and read with `data.mapping` too."""
GENERAL: Final = "contract"
"""What a source is when it is none of the others, or when `data.mapping` says what its columns mean."""


def formats() -> tuple[Format, ...]:
    """Every format, the general one last."""
    return tuple(_format(name) for name in (*SPECIFIC, GENERAL))


def format_of(config: SourceConfig) -> Format:
    """The format that the configuration names, or for `auto` the one that the source looks like.

    Raises:
        DataError: there is nothing to look at.
    """
    if config.format != "auto":
        return _format(config.format)
    if config.mapping and not any(_format(name).recognises(config) for name in SPECIFIC if name in CONNECTED):
        return _format(GENERAL)
    return next((found for name in SPECIFIC if (found := _format(name)).recognises(config)), _format(GENERAL))


def _format(name: str) -> Format:
    module = importlib.import_module(f"liverank.data.sources.{name.replace('-', '_')}")
    found: Format = module.FORMAT
    return found
