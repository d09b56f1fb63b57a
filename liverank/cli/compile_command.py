"""`liverank compile`: the training pipeline as YAML."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides


def compile(
    output: Annotated[
        str, typer.Option("--output", "-o", help="File to write (default: the one kept in pipelines/compiled).")
    ] = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Compile the training pipeline; the pods' settings come from section `pipeline` of the configuration."""
    from pathlib import Path

    from liverank.cli.pipeline_ring import pipeline_ring
    from liverank.config import load_config
    from liverank.errors import ConfigError

    pipeline_ring()
    from pipelines.compile import COMPILED, compile_training

    config = load_config(file or None, overrides(settings)).pipeline if output else None
    if not output and (file or settings):
        raise ConfigError(
            "The pipeline that is kept in the repository is compiled with the defaults.", "Name a file with --output."
        )
    typer.echo(f"Wrote {compile_training(Path(output) if output else COMPILED, config)}")
