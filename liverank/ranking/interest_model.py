"""The interest model: a network that reads what a user did, step by step, and asks for the next item.

A step is what happened at one time: a click, or a basket, which has no order inside. It is the mean of its events (the
item's vector, the type, how often the user had the item before) and the time since the step before. The history is
encoded once into one query; an item's score is the query's dot product with the item's vector, so that any number of
candidates cost one matrix product.

An item's vector is the projected features of its text, plus a learned vector of its id weighed by how far it is to be
trusted: not at all without a training event, and the more the more there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from liverank.ranking.interest_blocks import Attention, Gated, Hstu, Recurrent, Sight, turns

if TYPE_CHECKING:
    from liverank.config.training import InterestConfig

GAP_BUCKETS: Final = 32
AGAIN_BUCKETS: Final = 8
HOURS: Final = 24
WEEKDAYS: Final = 7
_INITIAL = 0.02
_TEXT_DROPOUT = 0.1


@dataclass(frozen=True)
class Window:
    """Steps of a batch, oldest first, padded at the end, and their events."""

    gaps: Tensor
    """Bucket of the time since the step before (`gap_bucket`), `[batch, steps]`."""
    seconds: Tensor
    """Time since the window's first step, float32, `[batch, steps]`."""
    places: Tensor
    """Place of each event's step in the flattened batch, `[events]`, ascending."""
    types: Tensor
    """Row of each event's type, `[events]`."""
    again: Tensor
    """Bucket of how often the user had the event's item before (`again_bucket`), `[events]`."""


@dataclass(frozen=True)
class Asked:
    """When something is asked: all `[asks]`."""

    gaps: Tensor
    """Bucket of the time since the last step."""
    hours: Tensor
    """Hour of the day, UTC."""
    weekdays: Tensor
    """Day of the week, 0 is Monday, UTC."""


class InterestModel(nn.Module):
    """See the module's docstring.

    Args:
        met: training events of each item, `[items]`.
        types: number of event types.
        text_width: columns of the items' text features.
        config: the rest.
    """

    centre: Tensor
    scale: Tensor
    log_met: Tensor
    angles: Tensor

    def __init__(self, met: Tensor, types: int, text_width: int, config: InterestConfig) -> None:
        super().__init__()
        width = config.dimension
        self.config = config
        self.ids = nn.Embedding(len(met), width)
        self.project = nn.Sequential(
            nn.Linear(text_width, config.text_hidden),
            nn.GELU(),
            nn.Dropout(_TEXT_DROPOUT),
            nn.Linear(config.text_hidden, width, bias=False),
        )
        self.trust = nn.Parameter(torch.tensor([0.0, 2.0]))
        """Slope by the log of an item's events, and offset, of the logit of its trust."""
        self.types = nn.Embedding(types + 1, width)
        """One row a type, the last for types not met in training."""
        self.gaps = nn.Embedding(GAP_BUCKETS, width)
        self.again = nn.Embedding(AGAIN_BUCKETS, width)
        self.asks = nn.Embedding(GAP_BUCKETS, width)
        self.hours = nn.Embedding(HOURS, width)
        self.weekdays = nn.Embedding(WEEKDAYS, width)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
        self.first = nn.LayerNorm(width)
        self.last = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.register_buffer("centre", torch.zeros(text_width))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("log_met", torch.log1p(met.float()))
        self.register_buffer("angles", turns(config.history_length, width // config.heads), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=_INITIAL)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for table in (self.ids, self.types, self.gaps, self.again, self.asks, self.hours, self.weekdays):
            nn.init.normal_(table.weight, std=_INITIAL)
        nn.init.eye_(self.query.weight)

    # Items.

    def standardise(self, features: Tensor) -> None:
        """Takes centre and scale from the items' text features, `[items, text_width]`, for unit variance."""
        self.centre.copy_(features.mean(0))
        self.scale.copy_(1 / (features - self.centre).std().clamp(min=1e-6))

    def text_vectors(self, features: Tensor) -> Tensor:
        """Item vectors from text alone, `[items, width]`: what an item without a training event has; 0 without text."""
        vectors: Tensor = self.project((features - self.centre) * self.scale)
        return vectors * features.any(dim=-1, keepdim=True)

    def id_vectors(self, rows: Tensor) -> Tensor:
        """Learned vectors of items, weighed by trust and, in training, dropped at random, `[rows, width]`."""
        log_met = self.log_met[rows]
        trust = torch.sigmoid(self.trust[0] * log_met + self.trust[1]) * (log_met > 0)
        if self.training and self.config.id_dropout:
            trust = trust * (torch.rand(rows.shape, device=rows.device) >= self.config.id_dropout)
        vectors: Tensor = self.ids(rows) * trust.unsqueeze(-1)
        return vectors

    # Steps.

    def encode(self, vectors: Tensor, window: Window) -> Tensor:
        """States after each step, `[batch, steps, width]`, of the events' item vectors `[events, width]`.

        A step sees itself and earlier ones.
        """
        x, sight = self._read(self.step_means(vectors, window), window.gaps, self.elapsed(window.seconds))
        for block in self.blocks:
            recomputed = self.config.gradient_checkpointing and self.training
            x = checkpoint(block, x, sight, use_reentrant=False) if recomputed else block(x, sight)
        return x

    def encode_latest(self, vectors: Tensor, window: Window, latest: Tensor) -> Tensor:
        """States after the step at place `latest` of each window, `[batch, width]`.

        The same as `encode` there, without what the last layer would do for the other steps.
        """
        return self.latest_of(self.step_means(vectors, window), window.gaps, self.elapsed(window.seconds), latest)

    def latest_of(self, means: Tensor, gaps: Tensor, elapsed: Tensor, latest: Tensor) -> Tensor:
        """As `encode_latest`, of what `step_means` and `elapsed` give."""
        x, sight = self._read(means, gaps, elapsed)
        for block in self.blocks[:-1]:
            x = block(x, sight)
        states: Tensor = self.blocks[-1](x, sight, latest)
        return states.squeeze(1)

    def step_means(self, vectors: Tensor, window: Window) -> Tensor:
        """Each step as the mean of its events, `[batch, steps, width]`; 0 in padding."""
        events = vectors + self.types(window.types) + self.again(window.again)
        shape = window.gaps.shape
        return _means(events, window.places, shape.numel()).view(*shape, -1)

    def elapsed(self, seconds: Tensor) -> Tensor:
        """What the layers want to know of the time between steps (`Sight.elapsed`); `seconds` where that is nothing."""
        return gap_bucket(seconds.unsqueeze(2) - seconds.unsqueeze(1)) if self.config.block == "hstu" else seconds

    def _read(self, means: Tensor, gaps: Tensor, elapsed: Tensor) -> tuple[Tensor, Sight]:
        x = functional.dropout(self.first(means + self.gaps(gaps)), self.config.dropout, self.training)
        return x, Sight(self.angles[:, : gaps.shape[1]], elapsed)

    def ask(self, states: Tensor, asked: Asked) -> Tensor:
        """Queries `[asks, width]` from states `[asks, width]`; scores are `query @ item`."""
        context = self.asks(asked.gaps) + self.hours(asked.hours) + self.weekdays(asked.weekdays)
        query: Tensor = self.query(self.last(states + context))
        return query / math.sqrt(self.config.dimension)

    def flops(self, steps: int, attended: int, asks: int, items: int) -> float:
        """Floating-point operations of the forward and backward pass of a batch.

        Args:
            steps: steps read, padding not counted.
            attended: pairs of steps that attention multiplies: the sum of the windows' squared lengths.
            asks: questions.
            items: items in the softmax, whose texts are projected.

        Two for each multiplication of a weight, three times as many with the gradients (Kaplan et al., 2020, appendix
        B), and the products of attention and softmax, which have no weights. Texts need no gradient.
        """
        width = self.config.dimension
        layers = sum(parameter.numel() for block in self.blocks for parameter in block.parameters())
        pairs = 0 if self.config.block == "lstm" else 2 * self.config.layers * attended * width
        first, last = (sum(one.numel() for one in self.project[at].parameters()) for at in (0, -1))
        texts = 2 * first / 3 + last
        return 6.0 * (steps * layers + pairs + asks * (self.query.weight.numel() + items * width) + items * texts)


def _block(config: InterestConfig) -> nn.Module:
    width, heads, dropout = config.dimension, config.heads, config.dropout
    if config.block == "hstu":
        return Hstu(width, heads, dropout, config.history_length, GAP_BUCKETS)
    if config.block == "lstm":
        return Recurrent(width, dropout)
    return (Gated if config.block == "gated" else Attention)(width, heads, dropout)


def gap_bucket(seconds: Tensor) -> Tensor:
    """Bucket of a time gap: the logarithm to base 2 of its seconds, 0 for none."""
    return seconds.clamp(min=0).add(1).log2().long().clamp(max=GAP_BUCKETS - 1)


def again_bucket(times: Tensor) -> Tensor:
    """Bucket of how often an item was had before: the logarithm to base 2 of one more, 0 for never."""
    return times.add(1).log2().long().clamp(max=AGAIN_BUCKETS - 1)


def _means(events: Tensor, places: Tensor, count: int) -> Tensor:
    """Mean of the events at each place, 0 where there is none, `[count, width]`; `places` ascend."""
    empty = events.new_zeros(count, events.shape[1])
    if len(places) < 2 or bool((places[1:] > places[:-1]).all()):
        return empty.index_copy(0, places, events)
    sizes = torch.bincount(places, minlength=count).clamp(min=1).unsqueeze(1)
    return empty.index_add(0, places, events) / sizes
