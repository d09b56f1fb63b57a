"""A model's weights as bytes: whole numbers with a scale for each row, turned back into float32 when they are read.

This saves room and no time: torch multiplies bytes faster than floats only on some processors, by tensors that are
deprecated. The product in bytes is ONNX Runtime's (`onnx-int8`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

LARGEST: Final = 127
SCALE: Final = "/scale"
"""Ends the name of a matrix's scales, `[rows]`."""


def rounded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with each matrix in int8 beside its scales; all else as it is."""
    found: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.dim() != 2 or not weight.numel() or not weight.is_floating_point():
            found[name] = weight
            continue
        scale = weight.abs().amax(dim=1).clamp(min=1e-12) / LARGEST
        found[name] = (weight / scale.unsqueeze(1)).round().to(torch.int8)
        found[name + SCALE] = scale
    return found


def expanded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `rounded` was given, as far as bytes can say it; weights that were not rounded as they are."""
    return {
        name: weight if weight.dtype != torch.int8 else weight.float() * weights[name + SCALE].unsqueeze(1)
        for name, weight in weights.items()
        if not name.endswith(SCALE)
    }
