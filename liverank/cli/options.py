"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from liverank.errors import ConfigError

DebugFlag = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
ConfigFile = Annotated[
    str, typer.Option("--config", "-c", help="Configuration file (default: liverank.yaml, if there is one).")
]
Settings = Annotated[
    list[str], typer.Option("--set", "-s", help="Set one key, e.g. -s features.candidates=50 (repeatable).")
]


def overrides(settings: list[str]) -> dict[str, Any]:
    """`["a.b=1"]` as `{"a.b": 1}`, values read as YAML.

    Raises:
        ConfigError: a setting has no `=`.
    """
    import yaml

    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"'--set {setting}' has no '='.", "Write --set section.key=value.")
        values[key] = yaml.safe_load(value)
    return values
