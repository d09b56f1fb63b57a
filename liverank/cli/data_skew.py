"""`liverank data check-skew`: did serving rank with what training believes it had?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides


def check_skew(
    store: Annotated[str, typer.Option(help="Live store to read (default: the configured one).")] = "",
    since: Annotated[str, typer.Option(help="Check impressions from this time on, e.g. 2026-03-01.")] = "",
    out: Annotated[str, typer.Option(help="File for the report as JSON (default: skew.json in the workspace).")] = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Compare the history that each impression was ranked with to the one that training makes of the log.

    The values of features made of histories are not compared.
    Ends with 1 where more than monitoring.max_skew of the impressions differ.
    """
    from pathlib import Path

    from liverank.config import load_config
    from liverank.errors import DataError
    from liverank.features.skew import check_skew as check
    from liverank.features.skew import impressions_since
    from liverank.store import open_store

    config = load_config(file or None, overrides(settings))
    path = Path(store) if store else config.store_path
    if not path.is_file():
        raise DataError(f"There is no live store at {path}.", "Name it with --store, or serve first.")
    log = open_store(path)
    try:
        report = check(log, impressions_since(log, _instant(since)), config.features.history_length)
    finally:
        log.close()
    target = Path(out) if out else config.workspace_path / "skew.json"
    report.write(target)
    for line in report.lines():
        typer.echo(line)
    typer.echo(f"The whole report: {target}")
    limit = config.monitoring.max_skew
    if report.share > limit:
        typer.echo(f"{report.share:.2%} differ, more than {limit:.2%} (monitoring.max_skew).", err=True)
        raise typer.Exit(1)


def _instant(text: str) -> datetime | None:
    from liverank.errors import ConfigError

    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--since '{text}' is no time.", "Write it like 2026-03-01 or 2026-03-01T12:00Z.") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
