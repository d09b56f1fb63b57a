"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer


class Pipeline(StrEnum):
    """The pipelines that there are."""

    training = "training"
    tuning = "tuning"


DebugFlag = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
ConfigFile = Annotated[
    str, typer.Option("--config", "-c", help="Configuration file (default: liverank.yaml, if there is one).")
]
Settings = Annotated[
    list[str], typer.Option("--set", "-s", help="Set one key, e.g. -s features.candidates=50 (repeatable).")
]


def overrides(settings: list[str]) -> dict[str, Any]:
    """What `--set` says, as `load_config` takes it."""
    from liverank.config import parse_settings

    return parse_settings(settings)
