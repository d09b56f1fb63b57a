"""Any encoder or decoder of Hugging Face that reads a history and all candidates in one forward pass.

History and candidates stand in one row under a block mask: a candidate sees the history and itself. A decoder keeps the
history's keys and values instead, and reads further candidates behind them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from liverank.ranking.lm.model import HistoryStates, TokenIds, mean_over
from liverank.text import LanguageModelError

_TOLERANCE = 1e-3
TOKENS_AT_ONCE = 2048
"""Tokens of candidates in one row: attention grows with their square."""


class MaskedReader(nn.Module):
    """A `HistoryReader` over any model that takes a four-dimensional attention mask and positions."""

    def __init__(self, model: Any, causal: bool) -> None:
        super().__init__()
        self.model = model
        self.causal = causal
        config = getattr(model.config, "text_config", model.config)
        self.width = int(config.hidden_size)

    @torch.no_grad()
    def prove(self) -> None:
        """Makes sure that a candidate is read alone as it is among others, in whatever order.

        Raises:
            LanguageModelError: it is not, or the model does not take such rows: its layers see only a window, or it has
                places of its own for tokens.
        """
        name = type(self.model).__name__
        why = f"{name} does not read candidates apart from each other"
        hint = "Give another model: encoders of the BERT family, or decoders such as Qwen and Llama."
        if "sliding_attention" in (getattr(self.model.config, "layer_types", None) or ()):
            raise LanguageModelError(f"{name} has layers that see only a window of the tokens.", hint)
        device = next(self.model.parameters()).device
        history = torch.arange(5, 13, device=device)[None]
        candidates = torch.arange(13, 25, device=device).view(1, 3, 4)
        training, _ = self.model.training, self.model.eval()
        try:
            among, turned, alone = (
                self.against(self.read(history, _all(history)), ids, _all(ids))
                for ids in (candidates, candidates.flip(1), candidates[:, :1])
            )
            same = torch.allclose(among, turned.flip(1), atol=_TOLERANCE)
            same = same and torch.allclose(among[:, :1], alone, atol=_TOLERANCE)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as problem:
            raise LanguageModelError(f"{why}: {str(problem).splitlines()[0]}", hint) from problem
        finally:
            self.model.train(training)
        if not same:
            raise LanguageModelError(f"{why}: their scores depend on the others.", hint)

    def read(self, ids: Tensor, real: Tensor) -> HistoryStates:
        """As `HistoryReader.read`; a decoder's keys and values are kept only where no gradients are wanted."""
        allowed = real[:, None, None, :].expand(-1, 1, ids.shape[1], -1)
        if self.causal:
            allowed = allowed & _causal(ids.shape[1], ids.device)
        keep = self.causal and not torch.is_grad_enabled()
        found = self._forward(ids, _positions(real), allowed, {"use_cache": True} if keep else {})
        pooled = _last(found.last_hidden_state, real) if self.causal else mean_over(found.last_hidden_state, real)
        return HistoryStates(pooled, real, found.past_key_values if keep else ids)

    def against(self, histories: HistoryStates, ids: Tensor, real: Tensor) -> Tensor:
        """As `HistoryReader.against`."""
        at_once = max(1, TOKENS_AT_ONCE // ids.shape[2])
        parts = [
            self._against(histories, ids[:, start : start + at_once], real[:, start : start + at_once])
            for start in range(0, ids.shape[1], at_once)
        ]
        return torch.cat(parts, 1)

    def unread(self, ids: TokenIds) -> bool:
        """As `HistoryReader.unread`: nothing is kept of candidates."""
        return False

    def prepare(self, ids: TokenIds) -> None:
        """As `HistoryReader.prepare`: there is nothing to make."""

    def _against(self, histories: HistoryStates, ids: Tensor, real: Tensor) -> Tensor:
        lists, candidates, tokens = ids.shape
        before = histories.real
        seen = before[:, None, :].expand(-1, candidates * tokens, -1)
        own = self._own(real)
        allowed = torch.cat([seen, own], -1)[:, None]
        start = before.sum(-1)[:, None, None] if self.causal else 0
        positions = (start + _positions(real)).flatten(1)
        if isinstance(histories.layers, Tensor):
            states = self._whole(histories, ids.flatten(1), positions, allowed)
        else:
            given = {"past_key_values": histories.layers, "use_cache": True}
            states = self._forward(ids.flatten(1), positions, allowed, given).last_hidden_state
            histories.layers.crop(-ids.shape[1] * ids.shape[2])  # reading candidates has added theirs
        states = states.view(lists, candidates, tokens, -1)
        return _last(states, real) if self.causal else mean_over(states, real)

    def _whole(self, histories: HistoryStates, ids: Tensor, positions: Tensor, allowed: Tensor) -> Tensor:
        """States of the candidates' tokens, with the history read before them in the same row."""
        history, before = histories.layers, histories.real
        length = history.shape[1]
        upper = before[:, None, None, :].expand(-1, 1, length, -1)
        if self.causal:
            upper = upper & _causal(length, ids.device)
        upper = torch.cat([upper, upper.new_zeros(*upper.shape[:3], ids.shape[1])], -1)
        row, places = torch.cat([history, ids], 1), torch.cat([_positions(before), positions], 1)
        states: Tensor = self._forward(row, places, torch.cat([upper, allowed], 2), {}).last_hidden_state
        return states[:, length:]

    def _own(self, real: Tensor) -> Tensor:
        """Which tokens of candidates see which: those of the same one, `[histories, tokens, tokens]`."""
        candidates, tokens = real.shape[1:]
        number = torch.arange(candidates, device=real.device).repeat_interleave(tokens)
        same = number[:, None] == number[None, :]
        if self.causal:
            same = same & _causal(candidates * tokens, real.device)
        return same[None] & real.flatten(1)[:, None, :]

    def _forward(self, ids: Tensor, positions: Tensor, allowed: Tensor, more: dict[str, Any]) -> Any:
        # A row of padding that may see nothing would be a softmax over nothing: it sees all, and nobody sees it.
        allowed = allowed | ~allowed.any(-1, keepdim=True)
        dtype = next(self.model.parameters()).dtype
        if torch.is_autocast_enabled(ids.device.type):
            dtype = torch.get_autocast_dtype(ids.device.type)
        mask = torch.zeros(allowed.shape, dtype=dtype, device=ids.device).masked_fill_(~allowed, torch.finfo(dtype).min)
        return self.model(input_ids=ids, attention_mask=mask, position_ids=positions, **more)


def _all(ids: Tensor) -> Tensor:
    return torch.ones_like(ids, dtype=torch.bool)


def _causal(tokens: int, device: torch.device) -> Tensor:
    return torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()


def _positions(real: Tensor) -> Tensor:
    """Place of each token in its own text; padding has the last one's."""
    return (real.long().cumsum(-1) - 1).clamp(min=0)


def _last(states: Tensor, real: Tensor) -> Tensor:
    """States of the last real token, `[..., width]`."""
    at = (real.sum(-1) - 1).clamp(min=0)[..., None, None].expand(*real.shape[:-1], 1, states.shape[-1])
    return states.gather(-2, at).squeeze(-2)
