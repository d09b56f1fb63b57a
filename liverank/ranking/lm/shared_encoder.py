"""Encoders of the BERT family that read a history once: only in the top layers do candidates attend to it.

In the lower layers every text is read by itself. What they make of a candidate depends on its text alone, so it is
computed once and kept (as in PreTTR, MacAvaney et al., 2020, "Efficient Document Re-Ranking for Transformers by
Precomputing Term Representations"). In the top, joint layers a candidate's tokens attend to the history's and to their
own; the history's attend to themselves, so that its keys and values are the same for all candidates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from liverank.ranking.lm.model import HistoryStates, TokenIds, mean_over
from liverank.text import LanguageModelError

_TOLERANCE = 1e-3


class SharedEncoder(nn.Module):
    """A `HistoryReader` over the modules of an encoder of the BERT family (BERT, RoBERTa, XLM-R, ELECTRA)."""

    def __init__(self, model: Any, joint_layers: int, cache_mib: int) -> None:
        """Takes the model's modules over; of its layers the top `joint_layers` are to be trained, 0: all.

        Args:
            model: as it was loaded.
            joint_layers: in which candidates attend to the history.
            cache_mib: most memory for what the lower layers made of candidates.

        Raises:
            LanguageModelError: it is built otherwise, or has fewer layers.
        """
        super().__init__()
        blocks = getattr(getattr(model, "encoder", None), "layer", None)
        if not isinstance(blocks, nn.ModuleList) or not hasattr(model, "embeddings"):
            raise LanguageModelError(
                f"{type(model).__name__} is not built of `embeddings` and `encoder.layer`.",
                "Set training.lm.joint_layers to 0.",
            )
        if joint_layers > len(blocks):
            raise LanguageModelError(
                f"The language model has {len(blocks)} layers; training.lm.joint_layers is {joint_layers}.",
                "Give fewer, or 0: all.",
            )
        self.width = int(model.config.hidden_size)
        self.model = model
        self.cut = len(blocks) - joint_layers if joint_layers else 0
        self._blocks = list(blocks)
        self._most_bytes, self._bytes = cache_mib << 20, 0
        self._kept: dict[bytes, Tensor] = {}
        model.requires_grad_(False)
        for block in self._blocks[self.cut :]:
            block.requires_grad_(True)
        self._prove()

    def read(self, ids: Tensor, real: Tensor) -> HistoryStates:
        """As `HistoryReader.read`."""
        places = _Places(real)
        states, mask = self._lower(ids, places), _additive(real)
        layers = []
        for block in self._blocks[self.cut :]:
            query, key, value = _projected(block, states, places)
            layers.append((key, value))
            states = _rest(block, places.packed(_attended(query, key, value, mask[:, None, None])), states)
        return HistoryStates(mean_over(places.spread(states), real), real, layers)

    def against(self, histories: HistoryStates, ids: Tensor, real: Tensor) -> Tensor:
        """As `HistoryReader.against`."""
        places, own = _Places(real), _additive(real)[:, :, None, None]
        states = self._candidate_states(ids, real, places)
        history = _additive(histories.real)[:, None, None, None]
        for block, (key, value) in zip(self._blocks[self.cut :], histories.layers, strict=True):
            query, own_key, own_value = _projected(block, states, places)
            attended = _attended_both(query, (key, value, history), (own_key, own_value, own))
            states = _rest(block, places.packed(attended), states)
        return mean_over(places.spread(states), real)

    def unread(self, ids: TokenIds) -> bool:
        """As `HistoryReader.unread`: what the lower layers make of a text is kept."""
        return self.cut > 0 and self._most_bytes > 0 and ids.tobytes() not in self._kept

    def prepare(self, ids: TokenIds) -> None:
        """As `HistoryReader.prepare`."""
        self._remembered(torch.from_numpy(ids).to(next(self.model.parameters()).device), ids)

    def _lower(self, ids: Tensor, places: _Places) -> Tensor:
        """States below the joint layers, without gradients, `[real tokens, width]`."""
        if not self.cut:
            return self._embedded(ids, places)
        training = self.model.training
        self.model.eval()  # what is not trained is the same in training
        with torch.no_grad():
            states, mask = self._embedded(ids, places), _additive(places.real)[:, None, None]
            for block in self._blocks[: self.cut]:
                states = _rest(block, places.packed(_attended(*_projected(block, states, places), mask)), states)
        self.model.train(training)
        return states

    def _embedded(self, ids: Tensor, places: _Places) -> Tensor:
        texts = self.model.embeddings(input_ids=ids.flatten(0, -2))
        return places.packed(texts.view(*ids.shape, self.width))

    def _candidate_states(self, ids: Tensor, real: Tensor, places: _Places) -> Tensor:
        """What the lower layers make of candidates, `[real tokens, width]`."""
        if not self.cut:
            return self._embedded(ids, places)
        rows, lengths = ids.flatten(0, 1), real.sum(-1).flatten().tolist()
        keys = rows.cpu().numpy()
        texts = [self._remembered(rows[at, :length], keys[at, :length]) for at, length in enumerate(lengths) if length]
        return torch.cat(texts)

    def _remembered(self, ids: Tensor, row: Any) -> Tensor:
        """Of one text, `[tokens, width]`; read alone, so that it is the same whoever it came with."""
        key = row.tobytes()
        kept = self._kept.get(key)
        if kept is None:
            with torch.autocast("cpu", enabled=False):  # training may be coarse, what is kept is served too
                kept = self._lower(ids[None], _Places(torch.ones_like(ids[None], dtype=torch.bool))).half()
            size = kept.numel() * kept.element_size()
            if self._bytes + size > self._most_bytes:
                self._kept.clear()
                self._bytes = 0
            self._kept[key] = kept
            self._bytes += size
        return kept.float()

    def _prove(self) -> None:
        """A text read as a history must come out as the model has it."""
        device = next(self.model.parameters()).device
        ids = torch.arange(5, 13, device=device).view(2, 4)
        real = torch.tensor([[True] * 4, [True, True, False, False]], device=device)
        self.model.eval()
        try:
            with torch.no_grad():
                whole = mean_over(self.model(input_ids=ids, attention_mask=real.long()).last_hidden_state, real)
                mine = self.read(ids, real).pooled
                same = torch.allclose(whole, mine, atol=_TOLERANCE)
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as problem:
            raise _unknown(self.model, str(problem)) from problem
        if not same:
            raise _unknown(self.model, "its layers do not give what the whole gives")


class _Places:
    """Where the tokens of texts of several lengths are: layers work on those that are real, attention on a block."""

    def __init__(self, real: Tensor) -> None:
        self.real = real
        self._full = bool(real.all())
        self._at = real.flatten().nonzero().squeeze(-1)

    def packed(self, states: Tensor) -> Tensor:
        """The real tokens of `[..., tokens, width]`, `[real tokens, width]`."""
        flat = states.flatten(0, -2)
        return flat if self._full else flat.index_select(0, self._at)

    def spread(self, states: Tensor) -> Tensor:
        """The other way, 0 where there is padding, `[..., tokens, width]`."""
        if not self._full:
            block = states.new_zeros(self.real.numel(), states.shape[-1])
            states = block.index_copy(0, self._at, states)
        return states.view(*self.real.shape, states.shape[-1])


def _unknown(model: Any, why: str) -> LanguageModelError:
    return LanguageModelError(
        f"{type(model).__name__} cannot share a history: {why}.",
        "Set training.lm.joint_layers to 0, or give another model.",
    )


def _additive(real: Tensor) -> Tensor:
    """0 where a token is real, a number that no softmax outlives elsewhere."""
    return torch.zeros(real.shape, device=real.device).masked_fill_(~real, torch.finfo(torch.float32).min)


def _projected(block: Any, states: Tensor, places: _Places) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of each head, `[..., heads, tokens, head width]`, of states `[real tokens, width]`."""
    attention = block.attention.self
    shape = (attention.num_attention_heads, attention.attention_head_size)
    each = [places.spread(layer(states)) for layer in (attention.query, attention.key, attention.value)]
    query, key, value = (of.view(*of.shape[:-1], *shape).transpose(-3, -2) for of in each)
    return query, key, value


def _attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Each text's tokens attend to its own, `[..., tokens, width]`."""
    if query.device.type == "cpu":  # its backward pass is several times slower there in bfloat16
        query, key, value = query.float(), key.float(), value.float()
    with torch.autocast("cpu", enabled=False):
        attended = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask.to(query.dtype))
    return attended.transpose(-3, -2).flatten(-2)


def _attended_both(query: Tensor, history: tuple[Tensor, ...], own: tuple[Tensor, ...]) -> Tensor:
    """Tokens of candidates attend to their list's history and to their own, `[histories, candidates, tokens, width]`.

    One softmax over both, as if the history stood before each candidate; but its keys are not copied for each.
    """
    (key, value, mask), (own_key, own_value, own_mask) = history, own
    lists, candidates, heads, tokens, width = query.shape
    # All candidates' queries of a head in one product with the history's keys.
    together = query.permute(0, 2, 1, 3, 4).reshape(lists, heads, candidates * tokens, width)
    scale = width**-0.5
    first = (together @ key.transpose(-1, -2)).view(lists, heads, candidates, tokens, -1).transpose(1, 2) * scale + mask
    second = query @ own_key.transpose(-1, -2) * scale + own_mask
    shares = torch.cat([first, second], -1).softmax(-1).to(value.dtype)
    of_history, of_own = shares[..., : first.shape[-1]], shares[..., first.shape[-1] :]
    gathered = of_history.transpose(1, 2).reshape(lists, heads, candidates * tokens, -1) @ value
    gathered = gathered.view(lists, heads, candidates, tokens, width).transpose(1, 2)
    return (gathered + of_own @ own_value).transpose(-3, -2).flatten(-2)


def _rest(block: Any, attended: Tensor, states: Tensor) -> Tensor:
    """What a layer does after attention, `[real tokens, width]`."""
    states = block.attention.output(attended, states)
    result: Tensor = block.output(block.intermediate(states), states)
    return result
