"""The second form of `liverank evaluate`: a data set and a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from liverank.config import Config
    from liverank.evaluation.protocols.results import Figure, Finding, ProtocolResult

SHOWN = ("ndcg", "hit_rate", "mrr")


def evaluate_protocol(data: str, out: str, given: Mapping[str, Any], config: Config) -> None:
    """Runs the protocol on the data, ingesting it into `out/dataset` first where it is no dataset folder.

    Raises:
        ConfigError: an option has no meaning, or a setting means nothing to the protocol.
        OutputError: nothing can be written into `out`.
        DataError: the data cannot be read, or are too few for the protocol.
    """
    from pathlib import Path

    from rich.console import Console

    from liverank.evaluation.protocols.log import dataset_folder
    from liverank.evaluation.protocols.run import run_protocol
    from liverank.evaluation.protocols.settings import protocol_settings
    from liverank.evaluation.protocols.trained import check_training
    from liverank.output import output_folder

    settings = protocol_settings({**given, **_lengths(given)})
    check_training(config.training, settings.protocol)
    folder = output_folder(Path(out))
    dataset = dataset_folder(data, config.data, folder / "dataset")
    result = run_protocol(dataset, folder, settings, config)
    console = Console()
    for finding in result.findings:
        console.print(_table(finding, result))
        console.print(_differences(finding))
    console.print(f"Peak memory {result.peak_mib:,.0f} MiB; {result.seconds['total']:,.0f} s.", highlight=False)
    console.print(f"Report: {(folder / 'report.html').resolve()}", soft_wrap=True, highlight=False)


def _lengths(given: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    from liverank.errors import ConfigError

    if "lists" not in given:
        return {}
    try:
        return {"lists": tuple(int(part) for part in str(given["lists"]).split(","))}
    except ValueError:
        raise ConfigError(f"--lists: '{given['lists']}' is no list of lengths.", "Write one such as 20,100.") from None


def _table(finding: Finding, result: ProtocolResult) -> Table:
    from rich.table import Table

    part = "" if finding.group == "all" else f", {finding.group}"
    table = Table(title=f"{finding.table}{part} ({finding.requests:,} requests)")
    table.add_column("")
    metrics: list[str] = [name for name in SHOWN if name in next(iter(finding.rows.values()))]
    for name in metrics:
        table.add_column(name if name == "mrr" else f"{name}@{result.k}", justify="right")
    for name, of in finding.rows.items():
        cells = [_figure(of["ndcg"]), *(f"{of[metric].interval.mean:.4f}" for metric in metrics[1:])]
        table.add_row(name, *cells, style="bold" if name.startswith("blend") else "")
    return table


def _differences(finding: Finding) -> str:
    lines = [f"  {name}: {_figure(of['ndcg'], '+')}" for name, of in finding.differences.items()]
    return "\n".join(["ndcg, paired:", *lines]) if lines else ""


def _figure(figure: Figure, sign: str = "") -> str:
    at = figure.interval
    return f"{at.mean:{sign}.4f} \\[{at.low:{sign}.4f}, {at.high:{sign}.4f}]"
