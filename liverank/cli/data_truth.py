"""`liverank data truth`: what the users of a synthetic dataset really want."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def truth(
    dataset: Annotated[Path, typer.Argument(help="Folder written by `liverank data generate`.")],
    user: Annotated[
        list[str], typer.Option("--user", "-u", help="User, e.g. user-000001 (repeatable; with --out: default all).")
    ] = [],  # noqa: B006  typer reads it, nothing changes it
    at: Annotated[str, typer.Option(help="Moment, e.g. 2026-02-01T12:00:00Z (default: after the last list).")] = "",
    top: Annotated[int, typer.Option(min=1, help="Items to show of each user.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="Folder for chances, and what is hidden of users and items, as Parquet.")
    ] = None,
) -> None:
    """Say how likely each item is clicked by a user who looks at it: the exact chance, the hidden intent summed out."""
    from liverank.data.truth import Truth
    from liverank.data.truth_files import likeliest, write_truth
    from liverank.errors import ConfigError
    from liverank.instants import instant_of

    known = Truth(dataset)
    moment = instant_of(at, "--at", zoned=True) if at else known.end()
    if out is not None:
        rows = write_truth(known, known.numbers(user) if user else None, moment, out)
        typer.echo(f"Wrote {rows:,} true chances at {moment.isoformat()} to {out}.")
        return
    if not user:
        raise ConfigError("Whose preferences?", "Name a user with --user, or a folder for all with --out.")
    for name, lines in likeliest(known, user, moment, top):
        typer.echo(f"{name} at {moment.isoformat()}:")
        for item, chance, title in lines:
            typer.echo(f"  {chance:.4f}  {item}  {title}")
