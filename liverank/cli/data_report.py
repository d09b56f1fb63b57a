"""`liverank data report`: what a dataset looks like before anybody trains on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.options import ConfigFile
from liverank.cli.source_options import EncodingOption, FormatOption, TimezoneOption, told_source

if TYPE_CHECKING:
    from liverank.config.data import DataConfig


def report(
    source: Annotated[
        str,
        typer.Argument(
            help="Dataset folder, or any source: file, folder, glob or URL (default: all of the configured)."
        ),
    ] = "",
    out: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("report.html"),
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of writing a page.")] = False,
    source_format: FormatOption = "",
    timezone: TimezoneOption = "",
    encoding: EncodingOption = "",
    file: ConfigFile = "",
    memory: Annotated[str, typer.Option(help="Memory before figures spill to disk, e.g. 4GB.")] = "2GB",
) -> None:
    """Write one HTML page about a dataset: volumes, funnel, position bias, long tail, users, texts, what stands out.

    The page loads nothing from anywhere and names no user.
    """
    from datetime import UTC, datetime

    from liverank.data.profile.run import as_folder, profile, write_page
    from liverank.output import output_file

    if not json:
        output_file(out)
    options = {"format": source_format, "timezone": timezone, "encoding": encoding}
    with as_folder(_config(source, file, options)) as folder:
        figures = profile(folder, memory)
    if json:
        typer.echo(_as_json(figures))
        return
    write_page(figures, out, datetime.now(UTC))
    typer.echo(f"Wrote {out}: {figures['tables']['interactions']['rows']:,} interactions.")
    for one in figures["findings"]:
        typer.echo(f"  {one['text']}")


def _config(source: str, file: str, options: Mapping[str, str]) -> DataConfig:
    """What to report on: the one source as the configuration and the options tell of it, or all that is configured."""
    from liverank.config import load_config
    from liverank.errors import ConfigError

    known = load_config(file or None).data
    if not (source or known.every_source() or known.live_store):
        raise ConfigError("There is no source to report on.", "Name one, or set data.source in the configuration.")
    if not (source or known.source):
        return known  # all of it lies in data.sources and the live store
    told = told_source(source or known.source, known, options)
    change = {name: getattr(told, name) for name in type(told).model_fields}
    alone = {"sources": (), "live_store": "", "replayed": "none"} if source else {}
    return known.model_copy(update={**change, **alone})


def _as_json(figures: dict[str, object]) -> str:
    import json

    return json.dumps(figures, indent=2, ensure_ascii=False)
