"""`liverank backfill`: the live store learns what users did before."""

from __future__ import annotations

from typing import Annotated

import typer

from liverank.cli.options import ConfigFile, Settings, overrides


def backfill(
    data: Annotated[str, typer.Option("--data", help="Source of the events (default: data.source).")] = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Fill the live store with each user's latest events of the source, so that the first ranking knows them."""
    from datetime import UTC, datetime

    from liverank.config import load_config
    from liverank.config.remembered_data import remembered_data
    from liverank.data.backfill import backfill as fill
    from liverank.errors import ConfigError
    from liverank.store import open_store

    config = load_config(file or None, overrides(settings) | ({"data.source": data} if data else {}))
    section = config.data if config.data.every_source() else remembered_data(config.workspace_path)
    if section is None:
        raise ConfigError("There is no source to take events from.", "Name it with --data, or set data.source.")
    store = open_store(config.store_place, bounds=config.store)
    try:
        fill(section, store, config.serving.history_length, datetime.now(UTC))
    finally:
        store.close()
