"""`liverank compile`: the pipelines as YAML."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Pipeline, Settings, overrides


def compile(
    output: Annotated[
        str, typer.Option("--output", "-o", help="File to write (default: those kept in pipelines/compiled).")
    ] = "",
    pipeline: Annotated[Pipeline, typer.Option("--pipeline", help="Which one --output is.")] = Pipeline.training,
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Compile the pipelines; the pods' settings come from section `pipeline` of the configuration."""
    from pathlib import Path

    from liverank.cli.pipeline_ring import pipeline_ring
    from liverank.config import load_config
    from liverank.errors import ConfigError
    from liverank.output import output_file

    pipeline_ring()
    from pipelines.compile import COMPILED, COMPILED_TUNING, compile_training, compile_tuning

    if not output and (file or settings):
        raise ConfigError(
            "The pipelines that are kept in the repository are compiled with the defaults.",
            "Name a file with --output.",
        )
    if output:
        config = load_config(file or None, overrides(settings)).pipeline
        make = compile_tuning if pipeline is Pipeline.tuning else compile_training
        typer.echo(f"Wrote {make(output_file(Path(output)), config)}")
        return
    typer.echo(f"Wrote {compile_training(COMPILED)}")
    typer.echo(f"Wrote {compile_tuning(COMPILED_TUNING)}")
