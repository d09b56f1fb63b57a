"""`liverank tune`: search better training settings on a features folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from liverank.tuning.result import TuningResult


def tune(
    features: Annotated[str, typer.Option("--features", help="Features folder, as a run's features step left it.")],
    out: Annotated[
        str, typer.Option("--out", help="Folder for best.yaml, report.html and the tables (default: the study's own).")
    ] = "",
    trials: Annotated[int, typer.Option("--trials", min=0, help="Trials of the study; 0 for tuning.trials.")] = 0,
    write: Annotated[
        str,
        typer.Option(
            "--write",
            help="Configuration file to put the best settings into where their gain holds; its comments stay.",
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Write them even where the gain does not hold.")] = False,
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Search training settings over folds of time; the same command goes on with a study that was cut off."""
    from pathlib import Path

    from rich.console import Console

    from liverank.config import load_config
    from liverank.tuning.requirement import require_optuna

    config = load_config(file or None, overrides(settings) | ({"tuning.trials": trials} if trials else {}))
    require_optuna()
    from liverank.tuning.search import tune as search
    from liverank.tuning.write_config import check_file, write_settings

    if write:
        check_file(Path(write))
    result, folder = search(Path(features), config, Path(out) if out else None)
    _tell(Console(), result, folder.resolve())
    if write and (result.holds or force):
        write_settings(Path(write), result.best.settings)
        typer.echo(f"Wrote the best settings into {write}")
    elif write:
        kept = f"{write} stays as it is" if Path(write).exists() else f"{write} was not written"
        typer.echo(f"{kept}; --force writes the best settings all the same.")


def _tell(console: Console, result: TuningResult, folder: Path) -> None:
    from liverank.tuning.report import optimism, verdict

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    console.print(_settings(result))
    gain = result.search_gain
    say(f"On the folds of the search: {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]. {optimism(result)}")
    title, reason = verdict(result)
    say(f"{title}. {reason}")
    say(f"Best settings: {folder / 'best.yaml'}")
    say(f"Report: {folder / 'report.html'}")


def _settings(result: TuningResult) -> Table:
    from rich.table import Table

    table = Table(title=f"Trial {result.best.number} is the best of {len(result.trials)}")
    table.add_column("training.")
    table.add_column("present", justify="right")
    table.add_column("best", justify="right")
    for key, value in sorted(result.best.settings.items()):
        before = result.default.settings[key]
        table.add_row(key, _shown(before), _shown(value), style="bold" if value != before else "")
    means = result.default.value or 0.0, result.best.value or 0.0
    table.add_section()
    table.add_row(f"{result.metric}@{result.k}, mean of the folds", *[f"{mean:.4f}" for mean in means])
    return table


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
