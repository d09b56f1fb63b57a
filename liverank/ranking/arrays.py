"""Arrays and settings of a ranker on disk: safetensors and JSON, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.errors import BundleError

ARRAYS = "arrays.safetensors"
SETTINGS = "settings.json"


def write(folder: Path, arrays: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> None:
    """Writes a ranker's arrays and settings into `folder`."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / ARRAYS)
    text = json.dumps(settings, ensure_ascii=False, sort_keys=True, indent=1)
    (folder / SETTINGS).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Arrays and settings as `write` left them.

    Raises:
        BundleError: a file is missing or cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return load_file(folder / ARRAYS), settings
    except (OSError, ValueError, SafetensorError) as problem:
        raise BundleError(
            f"{folder} cannot be read: {problem}.", "Fetch the bundle again, or train a new one."
        ) from problem
