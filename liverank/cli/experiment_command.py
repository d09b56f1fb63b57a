"""`liverank experiment`: what an experiment on live traffic has shown so far."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from liverank.experiments.report import ExperimentReport, Records
    from liverank.store import LiveStore

app = typer.Typer(help="Experiments on live traffic.", no_args_is_help=True)


class Metric(StrEnum):
    """What a list is judged by."""

    ctr = "ctr"
    conversion = "conversion"
    ndcg = "ndcg"


@app.callback()
def root() -> None:
    """Experiments on live traffic."""


@app.command()
def report(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Experiment (default: the configured, the latest).")
    ] = "",
    metric: Annotated[Metric, typer.Option(help="What a list is judged by.")] = Metric.ctr,
    data: Annotated[
        Path | None, typer.Option(help="Dataset folder with impressions and interactions, in place of the live store.")
    ] = None,
    store: Annotated[str, typer.Option(help="Live store to read (default: the configured one).")] = "",
    level: Annotated[float, typer.Option(help="Chance that a sequence ever misses.")] = 0.05,
    tightest: Annotated[
        int, typer.Option(min=1, help="Lists at which sequences are narrowest; choose it before looking.")
    ] = 20_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    out: Annotated[str, typer.Option(help="File for the page (default: experiment.html in the workspace).")] = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Compare the variants of an experiment; look as often as you like, the sequences hold at all times together."""
    from functools import partial

    from rich.console import Console

    from liverank.config import load_config
    from liverank.errors import ConfigError, DataError
    from liverank.experiments.outcomes import of_folder, of_store
    from liverank.experiments.page import write_page
    from liverank.experiments.report import report as make
    from liverank.experiments.table import tables
    from liverank.output import output_file
    from liverank.store import open_store, store_exists

    if not 0 < level < 1:
        raise ConfigError(f"--level is {level}.", "It is a chance, such as 0.05.")
    if data is not None and store:
        raise ConfigError("Both --data and --store are given.", "Name one.")
    config = load_config(file or None, overrides(settings))
    place = store or config.store_place
    if data is None and not store_exists(place):
        raise DataError(f"There is no live store at {place}.", "Name it with --store, or a folder with --data.")
    target = output_file(Path(out) if out else config.workspace_path / "experiment.html")
    log: LiveStore | None = None
    try:
        records: Records
        if data is not None:
            read = of_folder(data)
            records = lambda: read  # noqa: E731
        else:
            log = open_store(place)
            records = partial(of_store, log)
        found: ExperimentReport = make(
            records, name, metric.value, config.features, config.serving.experiment, level, tightest
        )
    finally:
        if log is not None:
            log.close()
    write_page(target, found)
    if as_json:
        typer.echo(found.as_json())
        return
    console = Console()
    for table in tables(found):
        console.print(table)
    for warning in found.warnings:
        typer.echo(f"Note: {warning}")
    typer.echo(f"The page: {target}")
