"""Layers that read a sequence of steps: what the interest model can be made of.

Each takes states `[batch, steps, width]` and gives as many, or, for a live request, only each window's latest:
`[batch, 1, width]`. A step sees itself and earlier ones; padding comes last, so that nobody sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

FEED: Final = 2
"""Width of a feed-forward layer, as a multiple of the model's."""
SLOWEST: Final = 1000.0
"""Steps in which the slowest pair of numbers turns by one radian."""


@dataclass(frozen=True)
class Sight:
    """Where the steps of a batch stand to each other."""

    turns: Tensor
    """Cosine and sine of each place's angles (`turns`), `[2, steps, width / heads / 2]`."""
    elapsed: Tensor
    """For `Hstu`: bucket of the time from the column's step to the row's, `[batch, steps, steps]`."""


def turns(places: int, width: int) -> Tensor:
    """Cosine and sine of the angles by which rotary positions turn, `[2, places, width / 2]`.

    Attention then depends on how many steps lie between two, not on where they stand in the window (RoPE: Su et al.,
    2021). `width` is that of one head.
    """
    rates = SLOWEST ** -(torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = torch.arange(places, dtype=torch.float32).unsqueeze(-1) * rates
    return torch.stack([angles.cos(), angles.sin()])


def _turned(x: Tensor, by: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    cosine, sine = by.to(x.dtype)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def _drop(x: Tensor, rate: float, training: bool) -> Tensor:
    return functional.dropout(x, rate, training) if training and rate else x


def _at(x: Tensor, latest: Tensor) -> Tensor:
    """The `latest` step of each window, `[batch, 1, width]` of `[batch, steps, width]`."""
    return x.gather(1, latest.view(-1, 1, 1).expand(-1, 1, x.shape[2]))


class Attention(nn.Module):
    """Pre-norm attention and feed-forward (Vaswani et al., 2017; SASRec: Kang and McAuley, 2018)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.before_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.before_feed = nn.LayerNorm(width)
        self.up = nn.Linear(width, FEED * width)
        self.down = nn.Linear(FEED * width, width)

    def forward(self, x: Tensor, sight: Sight, latest: Tensor | None = None) -> Tensor:
        """States after the layer; `latest` is each window's latest place, `[batch]`, if only that counts."""
        normed = self.before_attention(x)
        if latest is None:
            return self._fed_on(x + self._attended(normed, sight))
        return self._fed_on(_at(x, latest) + self._attended_latest(_at(normed, latest), normed, sight, latest))

    def _fed_on(self, x: Tensor) -> Tensor:
        return x + self._fed(self.before_feed(x))

    def _attended(self, x: Tensor, sight: Sight) -> Tensor:
        query, key, value = self._heads(self.qkv(x), 3)
        query, key = _turned(query, sight.turns), _turned(key, sight.turns)
        rate = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=rate, is_causal=True)
        return self._together(mixed)

    def _attended_latest(self, asking: Tensor, x: Tensor, sight: Sight, latest: Tensor) -> Tensor:
        """What the latest step of each window takes from all, `[batch, 1, width]`."""
        width = x.shape[2]
        query = self._heads(functional.linear(asking, self.qkv.weight[:width], self.qkv.bias[:width]), 1)[0]
        key, value = self._heads(functional.linear(x, self.qkv.weight[width:], self.qkv.bias[width:]), 2)
        query = _turned(query, sight.turns[:, latest].unsqueeze(2).unsqueeze(2))
        sees = torch.arange(x.shape[1], device=x.device) <= latest.unsqueeze(1)
        mask = sees.unsqueeze(1).unsqueeze(1)
        key = _turned(key, sight.turns)
        return self._together(functional.scaled_dot_product_attention(query, key, value, attn_mask=mask))

    def _heads(self, x: Tensor, parts: int) -> Tensor:
        """`[parts, batch, heads, steps, width / heads]`."""
        batch, steps, width = x.shape
        return x.view(batch, steps, parts, self.heads, width // parts // self.heads).permute(2, 0, 3, 1, 4)

    def _together(self, mixed: Tensor) -> Tensor:
        return _drop(self.out(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)

    def _fed(self, x: Tensor) -> Tensor:
        inner = _drop(functional.gelu(self.up(x)), self.dropout, self.training)
        return _drop(self.down(inner), self.dropout, self.training)


class Gated(Attention):
    """As `Attention`, with a gated feed-forward, and each branch scaled by a gate of its input.

    After LiGR (Borisyuk et al., 2024) and SwiGLU (Shazeer, 2020). A gate is twice a sigmoid: 1 at the start.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__(width, heads, dropout)
        self.up = nn.Linear(width, 2 * FEED * width, bias=False)
        self.attention_gate = nn.Linear(width, width)
        self.feed_gate = nn.Linear(width, width)

    def _attended(self, x: Tensor, sight: Sight) -> Tensor:
        return super()._attended(x, sight) * (2 * torch.sigmoid(self.attention_gate(x)))

    def _attended_latest(self, asking: Tensor, x: Tensor, sight: Sight, latest: Tensor) -> Tensor:
        gate = 2 * torch.sigmoid(self.attention_gate(asking))
        return super()._attended_latest(asking, x, sight, latest) * gate

    def _fed(self, x: Tensor) -> Tensor:
        value, switch = self.up(x).chunk(2, dim=-1)
        inner = _drop(value * functional.silu(switch), self.dropout, self.training)
        return _drop(self.down(inner), self.dropout, self.training) * (2 * torch.sigmoid(self.feed_gate(x)))


class Hstu(nn.Module):
    """Pointwise attention without a softmax, biased by distance and by time (HSTU: Zhai et al., 2024)."""

    def __init__(self, width: int, heads: int, dropout: float, places: int, buckets: int) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.before = nn.LayerNorm(width)
        self.mixed = nn.Linear(width, 4 * width)
        self.after = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        self.by_distance = nn.Embedding(places, heads)
        self.by_time = nn.Embedding(buckets, heads)
        for table in (self.by_distance, self.by_time):
            nn.init.zeros_(table.weight)

    def forward(self, x: Tensor, sight: Sight, latest: Tensor | None = None) -> Tensor:
        """States after the layer (see `Attention`)."""
        batch, steps, width = x.shape
        parts = functional.silu(self.mixed(self.before(x))).view(batch, steps, 4, self.heads, width // self.heads)
        gate, value, query, key = parts.permute(2, 0, 3, 1, 4)
        place = torch.arange(steps, device=x.device)
        distance = place.unsqueeze(1) - place
        sees = distance >= 0
        bias = (self.by_distance(distance.clamp(min=0)) + self.by_time(sight.elapsed)).permute(0, 3, 1, 2)
        weight = functional.silu(query @ key.transpose(-1, -2) + bias) * sees / sees.sum(dim=-1, keepdim=True)
        gated = self.after((weight @ value).transpose(1, 2).flatten(2)) * gate.transpose(1, 2).flatten(2)
        x = x + _drop(self.out(_drop(gated, self.dropout, self.training)), self.dropout, self.training)
        return x if latest is None else _at(x, latest)


class Recurrent(nn.Module):
    """A residual LSTM (Hochreiter and Schmidhuber, 1997; GRU4Rec's idea): the baseline of recurrent models."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.before = nn.LayerNorm(width)
        self.cell = nn.LSTM(width, width, batch_first=True)

    def forward(self, x: Tensor, sight: Sight, latest: Tensor | None = None) -> Tensor:
        """States after the layer (see `Attention`)."""
        # Not every CPU has an LSTM in bfloat16: this one stays in float32.
        with torch.autocast(x.device.type, enabled=False):
            read = self.cell(self.before(x.float()))[0]
        x = x + _drop(read, self.dropout, self.training)
        return x if latest is None else _at(x, latest)
