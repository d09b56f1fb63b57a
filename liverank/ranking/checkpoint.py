"""Checkpoints of training: one safetensors file, replaced whole or not at all, so that kill -9 costs a few steps."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from liverank import progress
from liverank.errors import BundleError


@dataclass
class TrainingState:
    """Where training stands: the next step to make, and the best epoch so far."""

    epoch: int = 0
    step: int = 0
    """Steps of the current epoch that are done."""
    best: float = -1.0
    best_epoch: int = -1
    epochs_without_gain: int = 0
    losses: list[float] = field(default_factory=list)
    """Mean training loss of each epoch, of the steps since the run went on."""
    ndcgs: list[float] = field(default_factory=list)
    """Validation NDCG@10 of each epoch; empty where nothing is validated."""
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    """Moving average of the parameters; empty where none is kept."""
    seconds: float = 0.0
    """Spent by all runs so far, where that is limited."""


class Stateful(Protocol):
    """A module, or a part of one: what its tensors are by name, and how they are put back."""

    def state_dict(self) -> Any:
        """Name -> tensor."""
        ...

    def load_state_dict(self, state_dict: Any) -> Any:
        """The inverse of `state_dict`."""
        ...


class Checkpoint:
    """Model, optimizer and position of a run, in the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, model: Stateful, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
        """Writes everything; once it returns, a crash resumes from here."""
        from safetensors.torch import save_file

        tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in state.best_weights.items()}
        tensors |= {f"average/{name}": tensor for name, tensor in state.average.items()}
        for at, parameter in enumerate(optimizer.param_groups[0]["params"]):
            for name, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer/{at}/{name}"] = value
        facts = asdict(replace(state, best_weights={}, average={}))
        del facts["best_weights"], facts["average"]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        save_file(_apart(tensors), part, metadata={"state": json.dumps(facts)})
        _sync(part)
        os.replace(part, self.path)

    def load(self, model: Stateful, optimizer: torch.optim.Optimizer) -> TrainingState | None:
        """Puts everything back; None where there is no checkpoint.

        Raises:
            BundleError: the file is not a checkpoint of this model.
        """
        from safetensors import SafetensorError, safe_open

        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                facts = json.loads(file.metadata()["state"])
            model.load_state_dict(_under(tensors, "model/"))
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as problem:
            raise BundleError(f"The checkpoint {self.path} cannot be used: {problem}.", "Delete it.") from problem
        _restore_optimizer(optimizer, tensors)
        state = TrainingState(**facts, best_weights=_under(tensors, "best/"), average=_under(tensors, "average/"))
        progress.note(f"training goes on from epoch {state.epoch + 1}, step {state.step}")
        return state


def checkpoint_path(folder: Path, kind: str, parts: Sequence[object]) -> Path:
    """The checkpoint file of a kind, in `folder`, of exactly these parts, which are JSON values."""
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return folder / f"{kind}-{key}.safetensors"


def forget_others(folder: Path, kind: str, kept: Collection[Path]) -> None:
    """Removes the checkpoints of a kind that belong to other data or settings."""
    for other in folder.glob(f"{kind}-*"):
        if other not in kept:
            other.unlink()


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU; those that share memory as copies, which safetensors asks for."""
    apart: dict[str, Tensor] = {}
    met: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage().data_ptr()
        apart[name] = plain.clone() if storage in met else plain
        met.add(storage)
    return apart


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    for at, parameter in enumerate(optimizer.param_groups[0]["params"]):
        saved = _under(tensors, f"optimizer/{at}/")
        if saved:
            # The step counter stays on the CPU, the moments lie where the parameter lies.
            optimizer.state[parameter] = {
                name: value if name == "step" else value.to(parameter.device) for name, value in saved.items()
            }


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
