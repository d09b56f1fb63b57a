"""`liverank serve`: the model server on the registry's champion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from serving.announcement import Announcement


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
    from liverank.store import store_exists

    given = overrides(settings)
    config = load_config(file or None, {**given, "serving.playground": True} if playground else given)
    try:
        from serving.server import run
    except ModuleNotFoundError as problem:
        raise ServingError(
            f"The model server cannot be started here: {problem.name} is missing.",
            "Run it in a checkout with liverank[serve] installed, or in the serving image.",
        ) from problem
    is_new = not store_exists(config.store_place)

    def say(text: str) -> None:
        # Of JSON lines each is one.
        if config.serving.log_format == "text":
            typer.echo(text, err=True)

    def loading() -> None:
        if is_new:
            say("The live store is new; `liverank backfill` fills it with what users did before.")
        say("Loading the model ...")

    def ready(server: Announcement) -> None:
        say(f"Version {server.version} serves at {server.url} (gRPC {server.grpc}). Ctrl-C stops it.")
        if config.serving.playground:
            say(f"The playground: {server.url}/playground")

    number = run(
        config,
        bundle=bundle,
        on_loading=loading,
        on_ready=ready,
    )
    say("Stopped; every accepted record is kept.")
    raise typer.Exit(128 + number)
