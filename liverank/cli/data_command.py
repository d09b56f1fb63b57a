"""`liverank data`: make synthetic data, look at data, print the data contract."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make synthetic data, look at data, print the data contract.", no_args_is_help=True)


@app.command()
def generate(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    users: Annotated[int, typer.Option(min=1, help="Users.")] = 2500,
    items: Annotated[int, typer.Option(min=20, help="Items.")] = 1200,
    days: Annotated[int, typer.Option(min=1, help="Days of traffic, from 2026-01-01 UTC on.")] = 60,
    impressions: Annotated[float, typer.Option(min=1, max=60, help="Mean lists shown to a user.")] = 7.3,
    seed: Annotated[int, typer.Option(min=0, help="Seed: the same one gives the same files.")] = 7,
    drift_at: Annotated[
        float | None, typer.Option(min=0, help="Day from which other things go together (default: never).")
    ] = None,
    dirt: Annotated[float, typer.Option(min=0, max=0.5, help="Share of dirty rows to add, e.g. 0.02.")] = 0.0,
) -> None:
    """Write a synthetic dataset folder: items in English and Chinese, users with tastes, shown lists, events."""
    from liverank.data.synthetic import generate as write
    from liverank.data.tastes import SyntheticSettings

    settings = SyntheticSettings(
        users=users,
        items=items,
        days=days,
        impressions_per_user=impressions,
        seed=seed,
        drift_at=drift_at,
        dirt=dirt,
    )
    rows = write(settings, out).rows()
    counts = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    typer.echo(f"Wrote synthetic data to {out}: {counts}.")


@app.command()
def inspect(
    path: Annotated[str, typer.Argument(help="File, folder or glob.")],
    timezone: Annotated[str, typer.Option(help="Zone of timestamps that carry none, e.g. Europe/Paris.")] = "",
    samples: Annotated[int, typer.Option(min=0, help="Rows to show of each table.")] = 3,
) -> None:
    """Say what a source holds: its format, rows, time span, event types, and what does not fit the contract."""
    from liverank.config.data import DataConfig
    from liverank.data.inspect import describe

    for line in describe(DataConfig(source=path, timezone=timezone), samples):
        typer.echo(line)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the four records."""
    import json

    from liverank.events import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
