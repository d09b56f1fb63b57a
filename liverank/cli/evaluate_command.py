"""`liverank evaluate`: judge a bundle on the test requests, or measure every ranker on a data set by a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from rich.table import Table

    from liverank.config import Config
    from liverank.evaluation.bootstrap import Interval
    from liverank.evaluation.findings import Findings

SHOWN = ("ndcg", "hit_rate", "recall", "mrr", "map", "precision", "auc", "coverage", "diversity", "novelty")


def evaluate(
    out: Annotated[str, typer.Option("--out", help="Folder for metrics.json, report.html and the tables.")],
    bundle: Annotated[str, typer.Option("--bundle", help="Bundle folder of the model to judge.")] = "",
    features: Annotated[str, typer.Option("--features", help="Features folder with the test requests.")] = "",
    champion: Annotated[str, typer.Option("--champion", help="Bundle folder of the model that serves now.")] = "",
    data: Annotated[
        str, typer.Option("--data", help="Instead of a bundle: dataset folder, or any source that can be ingested.")
    ] = "",
    protocol: Annotated[
        str, typer.Option("--protocol", help="With --data: leave-one-out, temporal, prequential or lists.")
    ] = "",
    seeds: Annotated[int | None, typer.Option("--seeds", help="Trainings, each with its own seed (default 1).")] = None,
    k: Annotated[int | None, typer.Option("--k", help="Cut-off of the metrics (default 10).")] = None,
    lists: Annotated[
        str, typer.Option("--lists", help="Lengths of retrieved lists that the blend re-ranks, e.g. 20,100.")
    ] = "",
    cold: Annotated[
        float | None, typer.Option("--cold", help="Share of the items that is hidden from all training, e.g. 0.1.")
    ] = None,
    renumber: Annotated[
        bool, typer.Option("--renumber", help="Give the items random ids first: shows what ids gave away.")
    ] = False,
    shuffle_ties: Annotated[
        bool,
        typer.Option("--shuffle-ties", help="Events of one instant in random order: shows what the file's order gave."),
    ] = False,
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="Rank what the user had before too.")] = False,
    max_users: Annotated[
        int | None, typer.Option("--max-users", help="Take the events of so many users only, drawn at random.")
    ] = None,
    share: Annotated[
        float | None,
        typer.Option("--share", help="Share that is the test (default 0.1): of the time, or of prequential baskets."),
    ] = None,
    cut: Annotated[str, typer.Option("--cut", help="Date from which prequential baskets are scored.")] = "",
    ablations: Annotated[
        bool | None, typer.Option("--ablations/--no-ablations", help="Learn the blend again without each of its parts.")
    ] = None,
    learning_curve: Annotated[
        bool | None, typer.Option("--learning-curve/--no-learning-curve", help="Fit on growing shares of the events.")
    ] = None,
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Measure a bundle against baselines and champion on the same lists; exit code 2 when the gate refuses it.

    With --data instead: train and measure every ranker on a data set by a published protocol, beside plain recipes.
    """
    from liverank.config import load_config

    options = {
        "protocol": protocol or None,
        "seeds": seeds,
        "k": k,
        "lists": lists or None,
        "cold": cold,
        "renumber": renumber or None,
        "shuffle_ties": shuffle_ties or None,
        "keep_seen": keep_seen or None,
        "max_users": max_users,
        "share": share,
        "cut": cut or None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    of_bundle = {"evaluation.ablations": ablations, "evaluation.learning_curve": learning_curve}
    of_bundle = {key: value for key, value in of_bundle.items() if value is not None}
    _one_form((bundle, features, champion, *of_bundle), data, given)
    config = load_config(file or None, overrides(settings) | of_bundle)
    if data:
        from liverank.cli.evaluate_protocol import evaluate_protocol

        evaluate_protocol(data, out, given, config)
    else:
        _judge(bundle, features, champion, out, config)


def _one_form(of_bundle: Sequence[str], data: str, protocol: Mapping[str, object]) -> None:
    """Raises a ConfigError unless exactly one of the two forms is given, whole.

    `of_bundle` begins with the bundle's and the features' folders; what else there is belongs to that form.
    """
    from liverank.errors import ConfigError

    hint = "Give --bundle and --features to judge a bundle, or --data and --protocol to measure on a data set."
    if data and any(of_bundle):
        raise ConfigError(
            "--data goes with no option of a bundle: --bundle, --features, --champion, --ablations, --learning-curve.",
            hint,
        )
    if data and "protocol" not in protocol:
        raise ConfigError("--data needs a --protocol.", hint)
    if not data and protocol:
        raise ConfigError(f"--{next(iter(protocol)).replace('_', '-')} goes with --data only.", hint)
    if not data and not all(of_bundle[:2]):
        raise ConfigError("There is nothing to evaluate.", hint)


def _judge(bundle: str, features: str, champion: str, out: str, config: Config) -> None:
    from pathlib import Path

    from rich.console import Console

    from liverank.errors import StageStopped
    from liverank.evaluation.run import evaluate as judge

    result = judge(Path(features), Path(bundle), Path(out), config.evaluation, Path(champion) if champion else None)
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
