"""`liverank schedule`: the training pipeline on Kubeflow, by the clock."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides


def schedule(
    cron: Annotated[str, typer.Option("--cron", help="Six fields, seconds first: '0 0 3 * * *' is daily at 3:00.")],
    name: Annotated[str, typer.Option("--name", help="Name of the schedule.")] = "liverank-schedule",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Make the schedule of that name run today's pipeline; a former one of the same name is replaced."""
    from liverank.cli.pipeline_ring import pipeline_ring
    from liverank.config import load_config
    from liverank.errors import ConfigError

    if len(cron.split()) != 6:
        raise ConfigError(
            f"--cron '{cron}' has {len(cron.split())} fields.", "Kubeflow wants six, seconds first: '0 0 3 * * *'."
        )
    pipeline_ring()
    from pipelines.client import KubeflowClient

    job = KubeflowClient(load_config(file or None, overrides(settings))).schedule(name, cron)
    typer.echo(f"Schedule {job.name} ({job.id}) of pipeline version {job.version}: {job.url}")
