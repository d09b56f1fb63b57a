"""The interest model: a transformer that reads a user's events and asks for the next item.

An event is its item's vector (projected language-model embedding of the text + learned id embedding), its type, the
time since the event before and its place in the window. The history is encoded once into one query; an item's score is
the query's dot product with the item's vector, so that any number of candidates cost one matrix product.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from liverank.config.training import InterestConfig

GAP_BUCKETS = 32
PADDING_STEP = 2**30
_INITIAL = 0.02


class Block(nn.Module):
    """Pre-norm attention and feed-forward, width unchanged."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.before_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.before_feed = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, sees: Tensor) -> Tensor:
        """`x` is `[batch, events, width]`, `sees` is a bool mask `[batch, 1, events, events]`."""
        batch, events, width = x.shape
        qkv = self.qkv(self.before_attention(x)).view(batch, events, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        rate = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=sees, dropout_p=rate)
        x = x + self._drop(self.out(mixed.transpose(1, 2).reshape(batch, events, width)))
        return x + self._drop(self.down(functional.gelu(self.up(self.before_feed(x)))))

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)


class InterestModel(nn.Module):
    """See the module's docstring; `items` and `types` are table sizes, `text_width` is that of the text embeddings."""

    centre: Tensor
    scale: Tensor

    def __init__(self, items: int, types: int, text_width: int, config: InterestConfig) -> None:
        super().__init__()
        width = config.dimension
        self.config = config
        self.ids = nn.Embedding(items, width)
        self.project = nn.Linear(text_width, width, bias=False)
        self.types = nn.Embedding(types + 1, width)
        """One row a type, the last for types not met in training."""
        self.gaps = nn.Embedding(GAP_BUCKETS, width)
        self.places = nn.Embedding(config.history_length, width)
        self.asks = nn.Embedding(GAP_BUCKETS, width)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.dropout) for _ in range(config.layers))
        self.first = nn.LayerNorm(width)
        self.last = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.register_buffer("centre", torch.zeros(text_width))
        self.register_buffer("scale", torch.ones(()))
        for table in (self.ids, self.types, self.gaps, self.places, self.asks):
            nn.init.normal_(table.weight, std=_INITIAL)

    def standardise(self, embeddings: Tensor) -> None:
        """Takes centre and scale from the catalogue's embeddings, `[items, text_width]`, for unit variance."""
        self.centre.copy_(embeddings.mean(0))
        self.scale.copy_(1 / (embeddings - self.centre).std().clamp(min=1e-6))

    def text_vectors(self, embeddings: Tensor) -> Tensor:
        """Item vectors from text alone, `[items, width]`: what an item without a learned id has."""
        vectors: Tensor = self.project((embeddings - self.centre) * self.scale)
        return vectors

    def encode(self, vectors: Tensor, types: Tensor, gaps: Tensor, steps: Tensor) -> Tensor:
        """States after each event, `[batch, events, width]`.

        An event sees the events of its own step and of earlier ones: a basket has no order inside. `vectors` is
        `[batch, events, width]`, the others `[batch, events]`; padding comes last, with `PADDING_STEP`.
        """
        places = self.places.weight[: vectors.shape[1]]
        x = self.first(vectors + self.types(types) + self.gaps(gaps) + places)
        x = functional.dropout(x, self.config.dropout, self.training)
        sees = (steps.unsqueeze(2) >= steps.unsqueeze(1)).unsqueeze(1)
        for block in self.blocks:
            x = block(x, sees)
        return x

    def ask(self, states: Tensor, gaps: Tensor) -> Tensor:
        """Queries `[asks, width]` from states `[asks, width]`, `gaps` after their events; scores are `query @ item`."""
        query: Tensor = self.query(self.last(states + self.asks(gaps)))
        return query / math.sqrt(self.config.dimension)


def gap_bucket(seconds: Tensor) -> Tensor:
    """Bucket of a time gap: the logarithm to base 2 of its seconds, 0 for none."""
    return seconds.clamp(min=0).add(1).log2().long().clamp(max=GAP_BUCKETS - 1)
