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
    _make_room(out)
    rows = write(settings, out).rows()
    counts = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    typer.echo(f"Wrote synthetic data to {out}: {counts}.")


def _make_room(out: Path) -> None:
    """Makes the folder, before the work of filling it; only an earlier synthetic dataset in it may be replaced.

    Raises:
        DataError: the folder cannot be made or written, or holds something else.
    """
    import os

    from liverank.errors import DataError

    try:
        out.mkdir(parents=True, exist_ok=True)
        filled = any(out.iterdir())
    except OSError as problem:
        raise DataError(f"The folder {out} cannot be made: {problem.strerror}.", "Name another one.") from problem
    if not os.access(out, os.W_OK | os.X_OK):
        raise DataError(f"The folder {out} cannot be written.", "Name another one.")
    if filled and not _is_synthetic(out):
        raise DataError(
            f"The folder {out} is not empty and holds no synthetic dataset, so that nothing is written there.",
            "Name a new folder.",
        )


def _is_synthetic(folder: Path) -> bool:
    from liverank.data.dataset import SOURCE_FILE, read_source
    from liverank.errors import DataError

    if not (folder / SOURCE_FILE).is_file():
        return False
    try:
        return read_source(folder).get("synthetic") is True
    except DataError:
        return False


@app.command()
def inspect(
    path: Annotated[str, typer.Argument(help="File, folder or glob.")],
    timezone: Annotated[str, typer.Option(help="Zone of timestamps that carry none, e.g. Europe/Paris.")] = "",
    samples: Annotated[int, typer.Option(min=0, help="Rows to show of each table.")] = 3,
) -> None:
    """Say what a source holds: its format, rows, time span, event types, and what does not fit the contract."""
    from pydantic import ValidationError

    from liverank.config.data import DataConfig
    from liverank.data.inspect import describe
    from liverank.errors import ConfigError

    try:
        config = DataConfig(source=path, timezone=timezone)
    except ValidationError as problem:
        raise ConfigError(f"--timezone: {problem.errors()[0]['msg']}.") from None
    for line in describe(config, samples):
        typer.echo(line)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the four records."""
    import json

    from liverank.events import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
