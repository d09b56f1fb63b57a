"""`liverank distil`: a large language model's judgements, for the small re-ranker to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from liverank.ranking.lm.judgements import DistilSummary


def distil(
    features: Annotated[Path, typer.Option(help="Features folder whose training events are judged.")],
    out: Annotated[Path, typer.Option(help="File of JSON lines; what it holds already is not asked again.")],
    lists: Annotated[int, typer.Option(min=1, help="Lists to be judged in all.")] = 1000,
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Ask a large language model (training.lm.teacher) to rank lists; training.lm.judgements names the file then."""
    from functools import partial

    from liverank.config import load_config
    from liverank.ranking.lm.endpoint import EndpointRanker
    from liverank.ranking.lm.judgements import judge_lists

    training = load_config(file or None, overrides(settings)).training
    teacher = partial(EndpointRanker, config=training.lm.teacher)
    _show(judge_lists(features, out, training, lists, teacher), out)


def _show(summary: DistilSummary, out: Path) -> None:
    typer.echo(f"Teacher: {summary.told}.")
    typer.echo(
        f"{summary.judged:,} lists judged, {summary.asked:,} of them asked about now; the first place went to what the "
        f"user took next in {summary.agrees:.1%}."
    )
    if summary.lost:
        typer.echo(
            f"{summary.lost:,} lists were not answered and are not in the file; run this again to ask once more."
        )
    typer.echo(f"Judgements: {out}")
