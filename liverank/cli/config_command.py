"""`liverank config`: the configuration in force, or its JSON Schema."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides


def config(
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema instead.")] = False,
) -> None:
    """Print the configuration in force as YAML, every default filled in."""
    import json

    import yaml

    from liverank.config import Config, load_config

    if schema:
        typer.echo(json.dumps(Config.model_json_schema(), indent=2))
        return
    loaded = load_config(file or None, overrides(settings))
    typer.echo(yaml.safe_dump(loaded.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
