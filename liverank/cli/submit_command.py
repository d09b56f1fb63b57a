"""`liverank submit`: one run of a pipeline on Kubeflow."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Pipeline, Settings, overrides


def submit(
    name: Annotated[str, typer.Option("--name", help="Name of the run (default: made from the time).")] = "",
    data: Annotated[str, typer.Option("--data", help="Source of the data; the same as --set data.source=...")] = "",
    pipeline: Annotated[Pipeline, typer.Option("--pipeline", help="Which pipeline runs.")] = Pipeline.training,
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
    name = name or f"liverank-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    run = client.submit(name, resume=not no_resume, tuning=pipeline is Pipeline.tuning)
    typer.echo(f"Run {run.name} ({run.id}) of pipeline version {run.version}: {run.url}")
