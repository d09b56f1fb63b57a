"""`liverank demo`: the whole loop on this machine, on generated or on your own data."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.options import Settings, overrides


def demo(
    data: Annotated[
        str, typer.Option("--data", help="Your events instead of generated ones: a file, folder or glob.")
    ] = "",
    workspace: Annotated[
        str, typer.Option("--workspace", help="Folder of what the demo leaves; an earlier demo there is removed.")
    ] = ".liverank/demo",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Train, deploy, rank live, let users drift, monitor, retrain and swap: the whole loop, checked at every step."""
    try:
        import monitoring
        import pipelines
        import serving
    except ModuleNotFoundError as absent:
        from liverank.errors import LiverankError

        raise LiverankError(
            f"The demo needs the folder '{absent.name}'.", "Run it in a checkout: make demo."
        ) from absent
    del monitoring, pipelines, serving
    from liverank.cli.demo.telling import tell

    raise typer.Exit(tell(data, workspace, overrides(settings)))
