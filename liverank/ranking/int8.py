"""Linear layers in int8: weights as bytes with a scale a row, inputs turned into bytes as they come.

Dynamic quantisation, as in torch's own, but on weights that are plain arrays in a safetensors file.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from liverank.errors import BundleError

_LARGEST: Final = 127


class Int8Linear(nn.Module):
    """A linear layer whose products are of whole numbers; inputs are `[..., columns]`.

    All inputs of one call share one scale, the largest of them: what is multiplied together is rounded together.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(rows, columns, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(rows))
        self.register_buffer("bias", torch.zeros(rows))
        self._packed: dict[tuple[int, int], Any] = {}

    @classmethod
    def of(cls, layer: nn.Linear) -> Int8Linear:
        """The layer with its weights rounded, row by row."""
        made = cls(*layer.weight.shape)
        weight = layer.weight.detach()
        made.scale.copy_(weight.abs().amax(dim=1).clamp(min=1e-12) / _LARGEST)
        made.weight.copy_((weight / made.scale.unsqueeze(1)).round().to(torch.int8))
        if layer.bias is not None:
            made.bias.copy_(layer.bias.detach())
        return made

    def forward(self, x: Tensor) -> Tensor:
        """All columns that it gives, `[..., rows]`."""
        return self.part(x, 0, len(self.weight))

    def part(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Columns `start` to `stop` of what the layer gives."""
        packed = self._packed.get((start, stop))
        if packed is None:
            packed = self._packed[start, stop] = self._pack(slice(start, stop))
        # A bit of the inputs is left out: without it sums of two products overflow on older processors.
        result: Tensor = torch.ops.quantized.linear_dynamic(x, packed, reduce_range=True)
        return result

    def _pack(self, rows: slice) -> Any:
        weight, scale = self.weight[rows].contiguous(), self.scale[rows].double()
        zero = torch.zeros(len(weight), dtype=torch.long)
        try:
            quantised = torch._make_per_channel_quantized_tensor(weight, scale, zero, 0)  # type: ignore[attr-defined]
            return torch.ops.quantized.linear_prepack(quantised, self.bias[rows].contiguous())
        except (AttributeError, RuntimeError) as problem:
            raise BundleError(
                f"This build of torch cannot multiply in int8: {problem}.", "Compress with --network onnx-int8 instead."
            ) from problem


def int8_layers(module: nn.Module) -> None:
    """Puts an `Int8Linear` in place of each linear layer of the blocks and the query; texts are projected in float."""
    for name, child in module.named_children():
        if name == "project":
            continue
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear.of(child))
        else:
            int8_layers(child)
