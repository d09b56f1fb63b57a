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
    playground: Annotated[
        bool, typer.Option("--playground", help="Add the page /playground, to try rankings and events on.")
    ] = False,
) -> None:
    """Serve the champion over REST and gRPC until Ctrl-C; ports and limits are in the section `serving`."""
    from liverank.config import load_config
    from liverank.errors import ServingError

    given = overrides(settings)
    config = load_config(file or None, {**given, "serving.playground": True} if playground else given)
    try:
        from serving.lifecycle import Lifecycle
        from serving.server import run
    except ModuleNotFoundError as problem:
        raise ServingError(
            f"The model server cannot be started here: {problem.name} is missing.",
            "Run it in a checkout with liverank[serve] installed, or in the serving image.",
        ) from problem
    lifecycle = Lifecycle(config)
    number = run(config, bundle=bundle, on_loading=lifecycle.loading, on_ready=lifecycle.ready)
    lifecycle.stopped()
    raise typer.Exit(128 + number)
