"""Rows that `liverank data replay` let pass, as the first source of the runs in a workspace."""

from __future__ import annotations

from pathlib import Path

from liverank.config.data import DataConfig

FOLDER = "replayed"
"""Its folder in the workspace."""


def with_replayed(data: DataConfig, workspace: Path) -> DataConfig:
    """The section with the folder of replayed rows in place of `auto`, or `none` where the workspace has none."""
    folder = workspace / FOLDER
    if data.replayed not in ("auto", str(folder)):
        return data
    return data.model_copy(update={"replayed": str(folder) if any(folder.glob("*.parquet")) else "none"})
