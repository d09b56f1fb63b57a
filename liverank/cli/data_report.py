"""`liverank data report`: what a dataset looks like before anybody trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from liverank.config.data import DataConfig


def report(
    source: Annotated[str, typer.Argument(help="Dataset folder, or any source: file, folder, glob or URL.")],
    out: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("report.html"),
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of writing a page.")] = False,
    timezone: Annotated[str, typer.Option(help="Zone of timestamps that carry none, e.g. Europe/Paris.")] = "",
    memory: Annotated[str, typer.Option(help="Memory before figures spill to disk, e.g. 4GB.")] = "2GB",
) -> None:
    """Write one HTML page about a dataset: volumes, funnel, position bias, long tail, users, texts, what stands out.

    The page loads nothing from anywhere and names no user.
    """
    from datetime import UTC, datetime

    from liverank.data.profile.run import as_folder, profile, write_page

    if not json:
        _check_room(out)
    with as_folder(_config(source, timezone)) as folder:
        figures = profile(folder, memory)
    if json:
        typer.echo(_as_json(figures))
        return
    write_page(figures, out, datetime.now(UTC))
    typer.echo(f"Wrote {out}: {figures['tables']['interactions']['rows']:,} interactions.")
    for one in figures["findings"]:
        typer.echo(f"  {one['text']}")


def _config(source: str, timezone: str) -> DataConfig:
    from pydantic import ValidationError

    from liverank.config.data import DataConfig
    from liverank.errors import ConfigError

    try:
        return DataConfig(source=source, timezone=timezone)
    except ValidationError as problem:
        raise ConfigError(f"--timezone: {problem.errors()[0]['msg']}.") from None


def _check_room(out: Path) -> None:
    """Says before the work whether the page can be written.

    Raises:
        DataError: it cannot.
    """
    import os

    from liverank.errors import DataError

    if out.is_dir():
        raise DataError(f"{out} is a folder.", "Give --out the name of the page, e.g. report.html.")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK | os.X_OK):
        raise DataError(f"{out} cannot be written: {out.parent} is no folder that can be.", "Name another place.")


def _as_json(figures: dict[str, object]) -> str:
    import json

    return json.dumps(figures, indent=2, ensure_ascii=False)
