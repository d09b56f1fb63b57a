"""`liverank evaluate`: judge a bundle on the test requests, beside the baselines and a champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from rich.table import Table

    from liverank.evaluation.bootstrap import Interval
    from liverank.evaluation.findings import Findings

SHOWN = ("ndcg", "hit_rate", "recall", "mrr", "map", "auc", "coverage", "diversity")


def evaluate(
    bundle: Annotated[str, typer.Option("--bundle", help="Bundle folder of the model to judge.")],
    features: Annotated[str, typer.Option("--features", help="Features folder with the test requests.")],
    out: Annotated[str, typer.Option("--out", help="Folder for metrics.json, report.html and the tables.")],
    champion: Annotated[str, typer.Option("--champion", help="Bundle folder of the model that serves now.")] = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Measure a model against baselines and champion on the same lists; exit code 2 when the gate refuses it."""
    from pathlib import Path

    from rich.console import Console

    from liverank.config import load_config
    from liverank.errors import StageStopped
    from liverank.evaluation.run import evaluate as judge

    config = load_config(file or None, overrides(settings)).evaluation
    result = judge(Path(features), Path(bundle), Path(out), config, Path(champion) if champion else None)
    console = Console()
    console.print(_table(result.findings))
    console.print(f"Report: {(Path(out) / 'report.html').resolve()}", soft_wrap=True, highlight=False)
    if not result.promote:
        raise StageStopped("The gate refuses this model.", "The reasons are above and in the report.")
    console.print("[bold green]The gate promotes this model.[/bold green]")


def _table(findings: Findings) -> Table:
    from rich.table import Table

    table = Table(title=f"{findings.judged} judged requests, k = {findings.k}")
    table.add_column("ranker")
    for metric in SHOWN:
        table.add_column(metric, justify="right")
    table.add_column(f"{findings.metric}: {findings.primary} minus it", justify="right")
    for name, rows in findings.rankers.items():
        gap = findings.differences.get(name, {}).get(findings.metric)
        cells = [_figure(rows[metric], metric == findings.metric) for metric in SHOWN]
        table.add_row(name, *cells, _gap(gap), style="bold" if name == findings.primary else "")
    return table


def _figure(interval: Interval, whole: bool) -> str:
    if interval.mean != interval.mean:  # NaN: never defined
        return "-"
    text = f"{interval.mean:.4f}"
    return f"{text} [{interval.low:.4f}, {interval.high:.4f}]" if whole else text


def _gap(gap: Interval | None) -> str:
    return "" if gap is None else f"{gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
