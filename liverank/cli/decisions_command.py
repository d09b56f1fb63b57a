"""`liverank decisions`: what the monitor has decided and why."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides


def decisions(
    name: Annotated[str, typer.Argument(metavar="[ID]", help="Show this decision in detail; a prefix will do.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Decisions listed, the newest.")] = 20,
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """List the monitor's decisions, or show one in detail."""
    import msgspec
    from rich.console import Console

    from liverank.cli.monitor_command import monitoring_ring
    from liverank.config import load_config

    monitoring_ring()
    from monitoring.decision import list_decisions, read_decision
    from monitoring.places import Places
    from monitoring.show import detail, summary

    folder = Places(load_config(file or None, overrides(settings)).workspace_path).decisions
    found = [read_decision(folder, name)] if name else list_decisions(folder, limit)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found[0] if name else found)).decode())
    elif name:
        Console().print(detail(found[0]), highlight=False, soft_wrap=True)
    elif found:
        Console().print(summary(found))
    else:
        typer.echo(f"No decisions yet in {folder}; `liverank monitor` makes them.")
