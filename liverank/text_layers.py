"""What fine-tuning changed of a language model: a few tensors on disk, laid over the model as it was published."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.errors import BundleError

_FACTS = "tuned"


@dataclass(frozen=True)
class TunedLayers:
    """The changed tensors of a language model, by their names in it."""

    tensors: Mapping[str, npt.NDArray[Any]]
    base: str
    """Fingerprint of the untuned model: over any other weights the tensors mean nothing."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """How they came about; JSON values."""

    @cached_property
    def hash(self) -> str:
        """sha256 over names, shapes and values, in hex."""
        found = hashlib.sha256(self.base.encode())
        for name in sorted(self.tensors):
            tensor = self.tensors[name]
            found.update(f"{name}{tensor.dtype}{tensor.shape}".encode())
            found.update(np.ascontiguousarray(tensor).tobytes())
        return found.hexdigest()

    def save(self, path: Path) -> None:
        """Writes one safetensors file, whole or not at all."""
        from safetensors.numpy import save_file

        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        # One key: safetensors writes several in a random order, and equal layers must be equal files.
        told = {_FACTS: json.dumps({"base": self.base, "facts": dict(self.facts)}, sort_keys=True)}
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in self.tensors.items()}, part, metadata=told)
        os.replace(part, path)

    @classmethod
    def load(cls, path: Path) -> TunedLayers:
        """The inverse of `save`.

        Raises:
            BundleError: the file cannot be read or holds no tuned layers.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="np") as file:
                told = json.loads(file.metadata()[_FACTS])
                return cls({name: file.get_tensor(name) for name in file.keys()}, told["base"], told["facts"])  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as problem:
            raise BundleError(f"The tuned layers {path} cannot be read: {problem}.", "Train a new model.") from problem
