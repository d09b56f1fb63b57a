"""The formats by name, each imported only when it is asked for."""

from __future__ import annotations

import importlib
from typing import Final

from liverank.config.data import SourceConfig
from liverank.data.locations import without_secrets
from liverank.data.sources.parts import Format
from liverank.errors import ConfigError

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
    "cloudevents",
    "amazon",
)
"""In the order in which a source is asked whether it is one of them."""
CONNECTED: Final = ("kafka", "sql")
"""Told by the address alone, and read with `data.mapping` too."""
GENERAL: Final = "contract"
HEEDED: Final = {
    "queries": ("sql",),
    "mapping": ("contract", "sql", "kafka", "personalizer"),
    "encoding": tuple(name for name in (*SPECIFIC, GENERAL) if name not in CONNECTED),
}
"""Key of the configuration -> the formats to which it means something."""
"""What a source is when it is none of the others, or when `data.mapping` says what its columns mean."""


def formats() -> tuple[Format, ...]:
    """Every format, the general one last."""
    return tuple(_format(name) for name in (*SPECIFIC, GENERAL))


def format_of(config: SourceConfig) -> Format:
    """The format that the configuration names, or for `auto` the one that the source looks like.

    Raises:
        DataError: there is nothing to look at.
        ConfigError: a key is set that means nothing to the format.
    """
    found = _found(config)
    for key, names in HEEDED.items():
        if getattr(config, key) and found.name not in names:
            raise ConfigError(
                f"data.{key} is set, and the format {found.name} of {without_secrets(config.source)} does not heed it.",
                f"Take it away, or set data.format to one that does: {', '.join(names)}.",
            )
    return found


def _found(config: SourceConfig) -> Format:
    if config.format != "auto":
        return _format(config.format)
    if config.mapping and not any(_format(name).recognises(config) for name in SPECIFIC if name in CONNECTED):
        return _format(GENERAL)
    return next((found for name in SPECIFIC if (found := _format(name)).recognises(config)), _format(GENERAL))


def _format(name: str) -> Format:
    module = importlib.import_module(f"liverank.data.sources.{name.replace('-', '_')}")
    found: Format = module.FORMAT
    return found
