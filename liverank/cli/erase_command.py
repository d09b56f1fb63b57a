"""`liverank erase`: removes a user from the live store."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.connection import ServerUrl, call
from liverank.cli.options import ConfigFile, Settings, overrides


def erase(
    user: Annotated[str, typer.Argument(help="User id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: ServerUrl = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Erase everything the live store holds about a user, through the model server."""
    from urllib.parse import quote

    from liverank.config import load_config

    config = load_config(file or None, overrides(settings))
    if not yes:
        typer.confirm(f"Erase every record of user {user}? This cannot be undone.", abort=True)
    answer = call(config, url, "DELETE", f"/v1/users/{quote(user, safe='')}")
    versions = answer["model_versions"]
    typer.echo(f"{answer['erased']:,} records of user {user} are erased.")
    typer.echo(f"Versions that answered the user: {', '.join(versions['answered']) or 'none'}.")
    typer.echo(f"Versions that may have learned from the user: {', '.join(versions['may_have_learned']) or 'none'}.")
    typer.echo(f"Not known here: {versions['unknown']}")
