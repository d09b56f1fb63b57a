"""`liverank data replay`: quarantined rows judged again after a fix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides


def replay(
    quarantine: Annotated[
        Path | None, typer.Argument(help="Quarantine folder (default: that of the workspace's last validation).")
    ] = None,
    accepted: Annotated[
        Path | None,
        typer.Option(help="Dataset that the rows would join (default: the one that last passed in the workspace)."),
    ] = None,
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Judge quarantined rows again after a fix; what passes joins the next run."""
    from datetime import UTC, datetime

    from liverank.config import load_config
    from liverank.validation.replaying import replay as judge_again

    config = load_config(file or None, overrides(settings))
    done = judge_again(config, quarantine, accepted, datetime.now(UTC))
    typer.echo(f"Quarantine: {done.quarantine}")
    passed = ", ".join(f"{count:,} {table}" for table, count in done.passed.items()) or "none"
    typer.echo(f"Rows that pass now: {passed}; replayed before: {done.already:,}; still left: {done.rows_left:,}.")
    for reason, count in done.left.most_common():
        typer.echo(f"  {reason}: {count:,}")
    if done.passed:
        read = config.data.replayed != "none"
        joined = "The next `liverank run` reads them" if read else "data.replayed is none: no run reads them"
        typer.echo(f"Written to {done.folder}. {joined}.")
