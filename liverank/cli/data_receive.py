"""`liverank data receive`: collects what KServe's logger sends, as a source of data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides


def receive(
    folder: Annotated[Path, typer.Argument(help="Folder that keeps the events; data.source reads it.")],
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any.", min=0, max=65535)] = 8090,
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Collect the CloudEvents of KServe's logger until Ctrl-C; tokens, limits and the pseudonyms' key are serving's."""
    from liverank.config import load_config
    from liverank.errors import ServingError

    given = {**overrides(settings), "serving.host": host, "serving.http_port": port}
    config = load_config(file or None, given).serving
    try:
        from serving.collector import run
    except ModuleNotFoundError as problem:
        raise ServingError(
            f"The collector cannot be started here: {problem.name} is missing.",
            "Run it in a checkout with liverank[serve] installed, or in the serving image.",
        ) from problem
    number = run(
        config, folder, lambda address: typer.echo(f"Events are taken at {address}. Ctrl-C stops it.", err=True)
    )
    typer.echo("Stopped; every event that was taken is kept.", err=True)
    raise typer.Exit(128 + number)
