"""A transformer encoder cut in two: lower layers that stay as they are, and top layers that are tuned."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from liverank.text import LanguageModelError, pooled

_STACKS = ("encoder", "transformer")
"""Where the encoders of the BERT family keep their `layer` list."""
_TOLERANCE = 1e-3
_INSTEAD = "Set training.text.layers to 0, which tunes all of the model, or training.text.tune to off."


class LayeredEncoder:
    """Texts as token ids to states under the tuned layers (`lower`), and those to unit vectors (`upper`).

    Both halves are views of one model: tensors are shared, and what is trained in `tuned` is trained in the model.
    """

    def __init__(self, model: Any, layers: int, device: torch.device) -> None:
        """Cuts `model` below its top `layers` layers; 0 leaves it whole, and tunes its token embeddings too.

        Raises:
            LanguageModelError: the model has fewer layers, or its halves do not add up to it.
        """
        self.model = model.float().to(device).eval()
        self.device = device
        self.width = int(model.config.hidden_size)
        self.cut = layers > 0
        self.tuned: nn.Module = self.model
        self._lower, self._upper = self.model, self.model
        if self.cut:
            stack, blocks = _stack(self.model, layers)
            self.tuned = blocks[-layers:]
            self._lower = _with_layers(self.model, stack, blocks[:-layers])
            self._upper = _with_layers(self.model, stack, blocks[-layers:])
            self._upper._modules["embeddings"] = _Given()
            self._prove()
        self.model.requires_grad_(False)
        self.tuned.requires_grad_(True)

    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        """States below the tuned layers, `[texts, tokens, width]`, without gradients; the ids where nothing is cut."""
        if not self.cut:
            return ids
        with torch.no_grad():
            states: Tensor = self._lower(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    def upper(self, states: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors of texts from what `lower` gave, `[texts, width]`."""
        given = {"inputs_embeds" if self.cut else "input_ids": states}
        vectors: Tensor = pooled(self._upper(**given, attention_mask=mask).last_hidden_state, mask)
        return vectors

    def _prove(self) -> None:
        """Two texts, one of them padded, must come out of the halves as out of the whole."""
        ids = torch.arange(5, 13, device=self.device).view(2, 4)
        mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]], device=self.device)
        try:
            with torch.no_grad():
                whole = pooled(self.model(input_ids=ids, attention_mask=mask).last_hidden_state, mask)
                halves = self.upper(self.lower(ids, mask), mask)
                same = torch.allclose(whole, halves, atol=_TOLERANCE)
        except (AttributeError, IndexError, KeyError, RuntimeError, StopIteration, TypeError, ValueError) as problem:
            raise _uncut(self.model, f"its layers do not run apart ({problem})") from problem
        if not same:
            raise _uncut(self.model, "its layers apart do not give what they give together")


class _Given(nn.Module):
    """In the place of token embeddings: gives the states that came as `inputs_embeds` on as they are."""

    def forward(self, *given: Any, **named: Any) -> Tensor:
        return next(one for one in (*given, *named.values()) if isinstance(one, Tensor) and one.is_floating_point())


def _stack(model: nn.Module, layers: int) -> tuple[str, nn.ModuleList]:
    """Name of the module that holds the model's layers, and those."""
    for name in _STACKS:
        blocks = getattr(getattr(model, name, None), "layer", None)
        if isinstance(blocks, nn.ModuleList) and hasattr(model, "embeddings"):
            break
    else:
        raise _uncut(model, "it is not built of `embeddings` and `encoder.layer` as those of the BERT family are")
    if layers > len(blocks):
        raise LanguageModelError(
            f"The language model has {len(blocks)} layers; training.text.layers is {layers}.", "Give fewer, or 0: all."
        )
    return name, blocks


def _with_layers(model: nn.Module, stack: str, blocks: nn.ModuleList) -> Any:
    """The same model with other layers; everything else is shared."""
    twin, holder = _shallow(model), _shallow(model._modules[stack])
    holder._modules["layer"] = blocks
    twin._modules[stack] = holder
    return twin


def _shallow(module: Any) -> Any:
    twin = copy(module)
    twin._modules = dict(module._modules)
    return twin


def _uncut(model: nn.Module, why: str) -> LanguageModelError:
    return LanguageModelError(f"{type(model).__name__} cannot be cut into layers: {why}.", _INSTEAD)
