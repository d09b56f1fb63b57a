"""`liverank promote`: move the champion by hand, with a reason."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides


def promote(
    version: Annotated[
        str, typer.Argument(help="Version number or alias; 'previous' rolls the last promotion back.")
    ] = "challenger",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the version.")] = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Make a registered version the champion; the one before it becomes 'previous'."""
    from liverank.config import load_config
    from liverank.registry import champion
    from liverank.registry import promote as move

    config = load_config(file or None, overrides(settings)).resolved()
    before = champion(config.registry)
    after = move(config.registry, version, reason)
    if before is not None and before.version == after.version:
        typer.echo(f"Version {after.version} of '{after.model_name}' is the champion already; nothing changed.")
        return
    typer.echo(
        f"Version {after.version} of '{after.model_name}' is the champion"
        + (f"; version {before.version} is 'previous'." if before else ".")
    )
