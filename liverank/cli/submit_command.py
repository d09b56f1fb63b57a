"""`liverank submit`: one run of the training pipeline on Kubeflow."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides


def submit(
    name: Annotated[str, typer.Option("--name", help="Name of the run (default: made from the time).")] = "",
    data: Annotated[str, typer.Option("--data", help="Source of the data; the same as --set data.source=...")] = "",
    no_resume: Annotated[bool, typer.Option("--no-resume", help="Take up nothing from earlier runs.")] = False,
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Compile the pipeline, upload it where it is new, and start one run on Kubeflow Pipelines."""
    from datetime import UTC, datetime

    from liverank.cli.pipeline_ring import pipeline_ring
    from liverank.config import load_config

    pipeline_ring()
    from pipelines.client import KubeflowClient

    values = overrides(settings) | ({"data.source": data} if data else {})
    client = KubeflowClient(load_config(file or None, values))
    run = client.submit(name or f"liverank-{datetime.now(UTC):%Y%m%d-%H%M%S}", resume=not no_resume)
    typer.echo(f"Run {run.name} ({run.id}) of pipeline version {run.version}: {run.url}")
