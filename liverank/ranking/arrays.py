"""Arrays and settings of a ranker on disk: safetensors and JSON, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank.errors import BundleError

ARRAYS = "arrays.safetensors"
SETTINGS = "settings.json"
MAPPED_FROM: Final = 2**20
"""Bytes from which an array is mapped; smaller ones are read, which takes fewer files to be held open."""
_TYPES: Final = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
}
"""safetensors' names of numpy's types."""


def write(folder: Path, arrays: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> None:
    """Writes a ranker's arrays and settings into `folder`."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / ARRAYS)
    text = json.dumps(settings, ensure_ascii=False, sort_keys=True, indent=1)
    (folder / SETTINGS).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Arrays and settings as `write` left them; large arrays are mapped from the file, as long as they are not changed.

    Servers on one machine that load the same file share its memory then. What is written into such an array is the
    process's own and never reaches the file; the file may be deleted or replaced meanwhile, but must not be rewritten
    in place.

    Raises:
        BundleError: a file is missing or cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / ARRAYS
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        # It checks the file as a whole: what is mapped lies inside.
        with safe_open(path, framework="np") as file:
            names, large = file.keys(), _mapped(path)
            return {name: large[name] if name in large else file.get_tensor(name) for name in names}, settings
    except (OSError, ValueError, SafetensorError) as problem:
        raise BundleError(
            f"{folder} cannot be read: {problem}.", "Fetch the bundle again, or train a new one."
        ) from problem


def _mapped(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The large arrays of a safetensors file by name: its header tells where each lies behind it."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    found = {}
    for name, told in header.items():
        if name == "__metadata__" or told["dtype"] not in _TYPES:
            continue
        start, end = told["data_offsets"]
        if end - start >= MAPPED_FROM:
            place = {"offset": 8 + size + start, "shape": tuple(told["shape"])}
            # A plain array over the mapping: the subclass would slow each look into it.
            found[name] = np.asarray(np.memmap(path, _TYPES[told["dtype"]], "c", **place))
    return found
