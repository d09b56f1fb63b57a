"""`liverank compress`: a smaller, faster form of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from liverank.ranking.compress import CompressionSummary


def compress(
    bundle: Annotated[Path, typer.Option(help="Folder of the bundle.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.")],
    network: Annotated[
        str, typer.Option(help="What reads a user's events: float32, int8, onnx or onnx-int8.")
    ] = "float32",
    vectors: Annotated[str, typer.Option(help="Numbers of the items' vectors: float32, float16 or int8.")] = "float32",
    rank: Annotated[int, typer.Option(help="Coordinates kept of each item's vector; 0: all.")] = 0,
    prune_items: Annotated[
        float,
        typer.Option(help="Share of the items, those with the fewest events, that keep only their texts' vector."),
    ] = 0.0,
) -> None:
    """Write a smaller, faster form of a bundle, which serves like any other. The original stays as it is."""
    from pydantic import ValidationError

    from liverank.errors import ConfigError
    from liverank.ranking import compress as library

    given = {"network": network, "vectors": vectors, "rank": rank, "prune_items": prune_items}
    try:
        settings = library.CompressionSettings.model_validate(given)
    except ValidationError as problem:
        first = problem.errors()[0]
        option = f"--{first['loc'][0]}".replace("_", "-")
        raise ConfigError(f"{option}: {first['msg']}.", "`liverank compress --help` tells what it takes.") from None
    _show(library.compress(bundle, out, settings), out)


def _show(summary: CompressionSummary, out: Path) -> None:
    typer.echo(
        f"Interest ranker on disk: {summary.bytes_before:,} bytes before, {summary.bytes_after:,} after; "
        f"item vectors in memory: {summary.table_before:,} before, {summary.table_after:,} after."
    )
    typer.echo(
        f"Of its first ten for made-up requests, {summary.agreement:.0%} are the original's. "
        "`liverank evaluate` measures what that costs on real ones."
    )
    typer.echo(f"Bundle {summary.bundle_hash[:12]}: {out}")
