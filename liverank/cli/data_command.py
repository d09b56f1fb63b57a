"""`liverank data`: make synthetic data, look at data, print the data contract."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.data_download import download
from liverank.cli.data_generate import generate
from liverank.cli.data_replay import replay
from liverank.cli.data_report import report
from liverank.cli.data_skew import check_skew
from liverank.cli.data_truth import truth

app = typer.Typer(help="Make synthetic data, look at data, print the data contract.", no_args_is_help=True)
app.command("generate")(generate)
app.command("truth")(truth)
app.command("report")(report)
app.command("check-skew")(check_skew)
app.command("replay")(replay)
app.command("download")(download)


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
