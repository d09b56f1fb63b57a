"""`liverank data generate`: a synthetic dataset folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from liverank.cli.options import overrides

Setting = Annotated[
    list[str],
    typer.Option("--set", "-s", help="Set any key of docs/synthetic.md, e.g. -s dirt.late=0.05 (repeatable)."),
]


def generate(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    users: Annotated[int | None, typer.Option(min=1, help="Users (default 2500).")] = None,
    items: Annotated[int | None, typer.Option(min=20, help="Items (default 1200).")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days of traffic, from 2026-01-01 UTC on (60).")] = None,
    impressions: Annotated[
        float | None, typer.Option(min=1, max=600, help="Mean lists shown to a user (default 7.3).")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The same one gives the same files (default 7).")] = None,
    drift_at: Annotated[
        float | None, typer.Option(min=0, help="Day from which other things go together (default: never).")
    ] = None,
    dirt: Annotated[
        float | None, typer.Option(min=0, max=0.5, help="Share of dirty rows to add, e.g. 0.02: a mixture of kinds.")
    ] = None,
    like: Annotated[
        str,
        typer.Option(help="Shapes to take after: shop (baskets, repeats), reviews (few events a user) or feed (news)."),
    ] = "",
    settings: Setting = [],  # noqa: B006  typer reads it, nothing changes it
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that generate; the files are the same.")] = 1,
) -> None:
    """Write a synthetic dataset folder: items in English and Chinese, users with tastes, shown lists, events.

    Of any size in bounded memory; docs/synthetic.md says what the world is and lists the rarer switches for --set.
    """
    from liverank.data.synthetic import generate as write

    flags = {
        "users": users,
        "items": items,
        "days": days,
        "impressions_per_user": impressions,
        "seed": seed,
        "drift_at": drift_at,
        "dirt": dirt,
    }
    wanted = _settings(like, {key: value for key, value in flags.items() if value is not None}, overrides(settings))
    _make_room(out)
    counts = ", ".join(f"{count:,} {name}" for name, count in write(wanted, out, processes).items())
    typer.echo(f"Wrote synthetic data to {out}: {counts}.")


def _settings(like: str, flags: dict[str, Any], rare: dict[str, Any]) -> Any:
    """The preset, the flags over it, and what --set says over both.

    Raises:
        ConfigError: a key or value has no meaning.
    """
    from pydantic import ValidationError

    from liverank.data.presets import preset
    from liverank.data.synthetic_settings import SyntheticSettings
    from liverank.errors import ConfigError

    values = preset(like) | flags
    try:
        for key, value in rare.items():
            section, _, kind = key.partition(".")
            if section == "dirt" and kind:
                # Kinds named one by one join the mixture that --dirt asks for.
                mixed = SyntheticSettings(dirt=values.get("dirt", 0.0)).dirt.model_dump(exclude_defaults=True)
                values["dirt"] = mixed | {kind: value}
            else:
                values[key] = value
        return SyntheticSettings(**values)
    except ValidationError as problem:
        first = problem.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"{name}: {first['msg']}." if name else f"{first['msg']}.",
            "docs/synthetic.md lists the switches of `liverank data generate`.",
        ) from None


def _make_room(out: Path) -> None:
    """Makes the folder, before the work of filling it; only an earlier synthetic dataset in it may be replaced.

    Raises:
        OutputError: the folder cannot be made or written.
        DataError: it holds something else.
    """
    from liverank.data.synthetic import PARTIAL
    from liverank.errors import DataError
    from liverank.output import output_folder

    output_folder(out)
    # What an interrupted run left is nobody's work.
    filled = any(entry.name != PARTIAL for entry in out.iterdir())
    if filled and not _is_synthetic(out):
        raise DataError(
            f"The folder {out} is not empty and holds no synthetic dataset, so that nothing is written there.",
            "Name a new folder.",
        )


def _is_synthetic(folder: Path) -> bool:
    from liverank.data.dataset import SOURCE_FILE, read_source
    from liverank.errors import DataError

    if not (folder / SOURCE_FILE).is_file():
        return False
    try:
        return read_source(folder).get("synthetic") is True
    except DataError:
        return False
