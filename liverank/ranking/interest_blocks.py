"""Layers that read a sequence of events: what the interest model can be made of.

Each takes states `[batch, events, width]` and gives as many, or, for a live request, only each window's latest:
`[batch, 1, width]`. What an event may see comes with them: its own step and earlier ones, for a basket has no order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """What the events of a batch see of each other."""

    sees: Tensor
    """Bool, `[batch, 1, events, events]`: whether the row's event sees the column's."""
    turns: tuple[Tensor, Tensor]
    """Cosine and sine of each event's angles (`turns`), `[batch, 1, events, width / heads / 2]`; empty for `Hstu`."""
    asking: tuple[Tensor, Tensor]
    """The same of the events that look: all, or only the latest."""
    distance: Tensor
    """For `Hstu`: steps from the column's event to the row's, at most `places`, `[batch, events, events]`."""
    elapsed: Tensor
    """For `Hstu`: bucket of the time between them, `[batch, events, events]`."""

    def at(self, latest: Tensor) -> Sight:
        """What the event at place `latest` of each window sees, `[batch]`."""
        cosine, sine = self.asking
        return replace(self, sees=_at(self.sees, latest), asking=(_at(cosine, latest), _at(sine, latest)))


def _at(x: Tensor, latest: Tensor) -> Tensor:
    """The `latest` of the events of each window, `[..., 1, width]` of `[..., events, width]`."""
    at = latest.view(-1, *[1] * (x.dim() - 1)).expand(*x.shape[:-2], 1, x.shape[-1])
    return x.gather(-2, at)


def turns(steps: int, width: int) -> Tensor:
    """Cosine and sine of the angles by which rotary positions turn at each step, `[2, steps, width / 2]`.

    Attention then depends on how many steps lie between two events, not on where they stand in the window (RoPE: Su et
    al., 2021); the events of one step stand at the same place.

    Args:
        steps: of the longest window.
        width: of one head.
    """
    rates = SLOWEST ** -(torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = torch.arange(steps, dtype=torch.float32).unsqueeze(-1) * rates
    return torch.stack([angles.cos(), angles.sin()])


def _turned(x: Tensor, by: tuple[Tensor, Tensor]) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    cosine, sine = by
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def _drop(x: Tensor, rate: float, training: bool) -> Tensor:
    return functional.dropout(x, rate, training) if training and rate else x


class Joint(nn.Linear):
    """Several linear layers of one input in one, which can also be had apart."""

    def part(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Columns `start` to `stop` of what the layer gives."""
        return functional.linear(x, self.weight[start:stop], self.bias[start:stop])


class Attention(nn.Module):
    """Pre-norm attention and feed-forward (Vaswani et al., 2017; SASRec: Kang and McAuley, 2018)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.before_attention = nn.LayerNorm(width)
        self.qkv = Joint(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.before_feed = nn.LayerNorm(width)
        self.up = nn.Linear(width, FEED * width)
        self.down = nn.Linear(FEED * width, width)

    def forward(self, x: Tensor, sight: Sight, latest: Tensor | None = None) -> Tensor:
        """States after the layer; `latest` is each window's latest place, `[batch]`, if only that counts."""
        normed = self.before_attention(x)
        if latest is None:
            x = x + self._attended(normed, normed, sight)
        else:
            x = _at(x, latest) + self._attended(_at(normed, latest), normed, sight.at(latest))
        return x + self._fed(self.before_feed(x))

    def _attended(self, asking: Tensor, x: Tensor, sight: Sight) -> Tensor:
        """What the `asking` events take from all, `[batch, asking, width]`."""
        batch, asked, width = asking.shape
        if asking is x:
            query, key, value = self._heads(self.qkv(x), 3)
        else:
            query = self._heads(self.qkv.part(asking, 0, width), 1)[0]
            key, value = self._heads(self.qkv.part(x, width, 3 * width), 2)
        query, key = _turned(query, sight.asking).to(value.dtype), _turned(key, sight.turns).to(value.dtype)
        rate = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=sight.sees, dropout_p=rate)
        return _drop(self.out(mixed.transpose(1, 2).reshape(batch, asked, width)), self.dropout, self.training)

    def _heads(self, x: Tensor, parts: int) -> Tensor:
        """`[parts, batch, heads, events, width / heads]`."""
        batch, events, width = x.shape
        return x.view(batch, events, parts, self.heads, width // parts // self.heads).permute(2, 0, 3, 1, 4)

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

    def _attended(self, asking: Tensor, x: Tensor, sight: Sight) -> Tensor:
        return super()._attended(asking, x, sight) * (2 * torch.sigmoid(self.attention_gate(asking)))

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
        self.by_distance = nn.Embedding(places + 1, heads)
        self.by_time = nn.Embedding(buckets, heads)
        for table in (self.by_distance, self.by_time):
            nn.init.zeros_(table.weight)

    def forward(self, x: Tensor, sight: Sight, latest: Tensor | None = None) -> Tensor:
        """States after the layer (see `Attention`)."""
        batch, events, width = x.shape
        parts = functional.silu(self.mixed(self.before(x))).view(batch, events, 4, self.heads, width // self.heads)
        gate, value, query, key = parts.permute(2, 0, 3, 1, 4)
        bias = (self.by_distance(sight.distance) + self.by_time(sight.elapsed)).permute(0, 3, 1, 2)
        weight = functional.silu(query @ key.transpose(-1, -2) + bias) * sight.sees
        weight = weight / sight.sees.sum(dim=-1, keepdim=True)
        seen = (weight @ value).transpose(1, 2).reshape(batch, events, width)
        gated = self.after(seen) * gate.transpose(1, 2).reshape(batch, events, width)
        x = x + _drop(self.out(_drop(gated, self.dropout, self.training)), self.dropout, self.training)
        return x if latest is None else _at(x, latest)


class Recurrent(nn.Module):
    """A residual LSTM (Hochreiter and Schmidhuber, 1997; GRU4Rec's idea): the baseline of recurrent models.

    It reads events one by one, a basket's too; only what stands after the basket's last event is asked.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.before = nn.LayerNorm(width)
        self.cell = nn.LSTM(width, width, batch_first=True)

    def forward(self, x: Tensor, sight: Sight, latest: Tensor | None = None) -> Tensor:
        """States after the layer (see `Attention`)."""
        x = x + _drop(self.cell(self.before(x))[0], self.dropout, self.training)
        return x if latest is None else _at(x, latest)
