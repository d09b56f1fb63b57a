"""Rows that `liverank data replay` let pass, as one more source of the runs in a workspace."""

from __future__ import annotations

from pathlib import Path

from liverank.config.data import DataConfig, SourceConfig

FOLDER = "replayed"
"""Its folder in the workspace, and what reports call the source."""


def with_replayed(data: DataConfig, workspace: Path) -> DataConfig:
    """The section with the workspace's replayed rows among its sources, where there are any and it wants them."""
    folder = workspace / FOLDER
    others = tuple(one for one in data.sources if one.source != str(folder))
    wanted = data.replayed and (data.source or data.live_store or others) and any(folder.glob("*.parquet"))
    more = (SourceConfig(source=str(folder), format="contract", name=FOLDER),) if wanted else ()
    return data.model_copy(update={"sources": others + more})
