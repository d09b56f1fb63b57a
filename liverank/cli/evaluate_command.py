"""`liverank evaluate`: judge a bundle on the test requests, beside the baselines and a champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from rich.table import Table

    from liverank.evaluation.bootstrap import Interval
    from liverank.evaluation.findings import Findings

SHOWN = ("ndcg", "hit_rate", "recall", "mrr", "map", "precision", "auc", "coverage", "diversity", "novelty")


def evaluate(
    bundle: Annotated[str, typer.Option("--bundle", help="Bundle folder of the model to judge.")],
    features: Annotated[str, typer.Option("--features", help="Features folder with the test requests.")],
    out: Annotated[str, typer.Option("--out", help="Folder for metrics.json, report.html and the tables.")],
    champion: Annotated[str, typer.Option("--champion", help="Bundle folder of the model that serves now.")] = "",
    ablations: Annotated[
        bool | None, typer.Option("--ablations/--no-ablations", help="Learn the blend again without each of its parts.")
    ] = None,
    learning_curve: Annotated[
        bool | None, typer.Option("--learning-curve/--no-learning-curve", help="Fit on growing shares of the events.")
    ] = None,
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Measure a model against baselines and champion on the same lists; exit code 2 when the gate refuses it."""
    from pathlib import Path

    from rich.console import Console

    from liverank.config import load_config
    from liverank.errors import StageStopped
    from liverank.evaluation.run import evaluate as judge

    asked = {"evaluation.ablations": ablations, "evaluation.learning_curve": learning_curve}
    told = {key: value for key, value in asked.items() if value is not None}
    config = load_config(file or None, overrides(settings) | told).evaluation
    result = judge(Path(features), Path(bundle), Path(out), config, Path(champion) if champion else None)
    console = Console()
    console.print(_deciding(result.findings))
    console.print(_all(result.findings))
    console.print(f"Report: {(Path(out) / 'report.html').resolve()}", soft_wrap=True, highlight=False)
    if not result.promote:
        raise StageStopped("The gate refuses this model.", "The reasons are above and in the report.")
    console.print("[bold green]The gate promotes this model.[/bold green]")


def _deciding(findings: Findings) -> Table:
    """The metric that decides, with intervals: narrow enough for a terminal of 80 columns."""
    from rich.table import Table

    table = Table(title=f"{findings.metric}@{findings.k} on {findings.judged} judged requests")
    table.add_column("ranker")
    table.add_column("mean", justify="right")
    table.add_column(f"{findings.primary} minus it", justify="right")
    for name, rows in findings.rankers.items():
        gap = findings.differences.get(name, {}).get(findings.metric)
        style = "bold" if name == findings.primary else ""
        table.add_row(name, _interval(rows[findings.metric]), _interval(gap, "+") if gap else "", style=style)
    return table


def _all(findings: Findings) -> Table:
    from rich.table import Table

    table = Table(title="All metrics")
    table.add_column("metric")
    for name in findings.rankers:
        table.add_column(name, justify="right", style="bold" if name == findings.primary else "")
    for metric in SHOWN:
        table.add_row(metric, *[f"{rows[metric].mean:.3f}" for rows in findings.rankers.values()])
    return table


def _interval(interval: Interval, sign: str = "") -> str:
    return f"{interval.mean:{sign}.4f} \\[{interval.low:{sign}.4f}, {interval.high:{sign}.4f}]"
