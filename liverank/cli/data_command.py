"""`liverank data`: make synthetic data, look at data, print the data contract."""

from __future__ import annotations

import typer

from liverank.cli.data_download import download
from liverank.cli.data_generate import generate
from liverank.cli.data_inspect import inspect
from liverank.cli.data_receive import receive
from liverank.cli.data_replay import replay
from liverank.cli.data_report import report
from liverank.cli.data_skew import check_skew
from liverank.cli.data_truth import truth

app = typer.Typer(help="Make synthetic data, look at data, print the data contract.", no_args_is_help=True)
app.command("generate")(generate)
app.command("truth")(truth)
app.command("report")(report)
app.command("check-skew")(check_skew)
app.command("receive")(receive)
app.command("replay")(replay)
app.command("inspect")(inspect)
app.command("download")(download)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the four records."""
    import json

    from liverank.events import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
