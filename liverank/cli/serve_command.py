"""`liverank serve`: the model server on the registry's champion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides


def serve(
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
    bundle: Annotated[Path | None, typer.Option(help="Serve this bundle folder instead of the champion.")] = None,
) -> None:
    """Serve the champion over REST and gRPC until Ctrl-C; ports and limits are in the section `serving`."""
    from liverank.config import load_config
    from liverank.errors import ServingError
    from liverank.store import store_exists

    config = load_config(file or None, overrides(settings))
    try:
        from serving.server import run
    except ModuleNotFoundError as problem:
        raise ServingError(
            f"The model server cannot be started here: {problem.name} is missing.",
            "Run it in a checkout with liverank[serve] installed, or in the serving image.",
        ) from problem
    is_new = not store_exists(config.store_place)

    def loading() -> None:
        if is_new:
            typer.echo("The live store is new; `liverank backfill` fills it with what users did before.", err=True)
        typer.echo("Loading the model ...", err=True)

    number = run(
        config,
        bundle=bundle,
        on_loading=loading,
        on_ready=lambda server: typer.echo(
            f"Version {server.version} serves at {server.url} (gRPC {server.grpc}). Ctrl-C stops it.", err=True
        ),
    )
    typer.echo("Stopped; every accepted record is kept.", err=True)
    raise typer.Exit(128 + number)
