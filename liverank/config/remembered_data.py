"""The data section that a workspace's latest local run trained on, for what follows it without naming a source."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import ValidationError

from liverank.config.data import DataConfig
from liverank.errors import ConfigError

FILE = "data.json"


def remember_data(workspace: Path, data: DataConfig) -> None:
    """Writes the section into the workspace, whole or not at all; one without a source is not worth remembering."""
    if not data.every_source():
        return
    draft = workspace / f".{FILE}.{os.getpid()}"
    draft.write_text(json.dumps(data.model_dump(mode="json"), indent=2, ensure_ascii=False), encoding="utf-8")
    draft.replace(workspace / FILE)


def remembered_data(workspace: Path) -> DataConfig | None:
    """The section that the workspace remembers; None where it remembers none.

    Raises:
        ConfigError: the file is damaged.
    """
    path = workspace / FILE
    try:
        return DataConfig.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as problem:
        raise ConfigError(f"{path}, which names the data of the last run, is damaged.", "Set data.source.") from problem
