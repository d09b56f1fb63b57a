"""The interest model's way from one user's steps to a query, in NumPy: a live request is too small for torch.

A request reads some fifty steps. Its products of matrices take a third of a millisecond; torch takes four times as long
to be asked for them. The numbers are torch's, to rounding.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank.ranking.data import Floats, Rows
from liverank.ranking.interest_blocks import Attention, Gated
from liverank.ranking.interest_inputs import Inputs, Moments
from liverank.ranking.interest_model import InterestModel

Complexes = npt.NDArray[np.complex64]
_SQRT_HALF: Final = np.float32(math.sqrt(0.5))


class NumpyReader:
    """Reads one request at a time; safe to call from several threads."""

    def __init__(self, model: InterestModel) -> None:
        """Takes copies of the weights of a model that `can_read`."""
        tables = (model.types, model.gaps, model.again, model.asks, model.hours, model.weekdays)
        self.types, self.gaps, self.again, self.asks, self.hours, self.weekdays = (_array(of.weight) for of in tables)
        self.first, self.last = _Norm(model.first), _Norm(model.last)
        self.query = _Linear([model.query])
        self.scale = np.float32(1 / math.sqrt(model.config.dimension))
        cosine, sine = _array(model.angles)
        turns = (cosine + 1j * sine).astype(np.complex64)
        self.layers = [_Layer(block, turns) for block in model.blocks]  # type: ignore[arg-type]

    @staticmethod
    def can_read(model: InterestModel) -> bool:
        """Whether the model's layers are of a kind that is written here."""
        return len(model.blocks) > 0 and all(type(block) in (Attention, Gated) for block in model.blocks)

    def read(self, vectors: Floats, inputs: Inputs) -> Floats:
        """The query of one request, `[width]`, from its events' item vectors, `[events, width]`."""
        return self.ask(self.state(vectors, inputs), inputs.asked)

    def state(self, vectors: Floats, inputs: Inputs) -> Floats:
        """What one request's events come to, `[1, width]`, whenever it is made."""
        steps = inputs.gaps.shape[1]
        events = vectors + self.types[inputs.types] + self.again[inputs.again]
        x = self.first(_means(events, inputs.places, steps) + self.gaps[inputs.gaps[0]])
        for layer in self.layers[:-1]:
            x = layer(x)
        return self.layers[-1].latest(x)

    def ask(self, state: Floats, asked: Moments) -> Floats:
        """The query of one request, `[width]`, made at a moment, from its events' state."""
        context = self.asks[asked.since] + self.hours[asked.hours] + self.weekdays[asked.weekdays]
        query: Floats = self.query(self.last(state + context))[0] * self.scale
        return query


class _Layer:
    """`Attention` or `Gated`, without dropout."""

    def __init__(self, block: Attention, turns: Complexes) -> None:
        self.heads, self.gated, self.turns = block.heads, isinstance(block, Gated), turns
        self.width = width = block.out.in_features
        self.before_attention, self.before_feed = _Norm(block.before_attention), _Norm(block.before_feed)
        gates = ([block.attention_gate], [block.feed_gate]) if isinstance(block, Gated) else ([], [])
        # What is made of the same numbers is one product of matrices.
        whole = _Linear([block.qkv, *gates[0]])
        paired = _paired(width, block.heads)
        order = np.concatenate([paired, width + paired, np.arange(2 * width, len(whole.bias))])
        self.all, self.seen = whole.columns(order), whole.columns(order[width : 3 * width])
        self.asking = whole.columns(np.append(order[:width], order[3 * width :]))
        self.out, self.up, self.down = _Linear([block.out]), _Linear([block.up, *gates[1]]), _Linear([block.down])

    def __call__(self, x: Floats) -> Floats:
        """States after the layer, `[steps, width]`."""
        steps, width = x.shape
        made = self.all(self.before_attention(x))
        turned = self._turned(made[:, : 2 * width], 0)
        query, key = turned[: self.heads], turned[self.heads :]
        mixed = self._attended(query, key, made[:, 2 * width : 3 * width], _future(steps))
        return self._fed(x + self._gated(self.out(mixed), made[:, 3 * width :]))

    def latest(self, x: Floats) -> Floats:
        """The state of the last step after the layer, `[1, width]`."""
        steps, width = x.shape
        normed = self.before_attention(x)
        seen, asking = self.seen(normed), self.asking(normed[-1:])
        query, key = self._turned(asking[:, :width], steps - 1), self._turned(seen[:, :width], 0)
        mixed = self._attended(query, key, seen[:, width:], None)
        return self._fed(x[-1:] + self._gated(self.out(mixed), asking[:, width:]))

    def _turned(self, x: Floats, begin: int) -> Floats:
        """Heads with their pairs of numbers turned by their place, `[heads, steps, width / heads]`."""
        steps, pairs = len(x), self.turns.shape[1]
        turned = x.view(np.complex64).reshape(steps, -1, pairs) * self.turns[begin : begin + steps, None]
        found: Floats = turned.view(np.float32).transpose(1, 0, 2)
        return found

    def _attended(self, query: Floats, key: Floats, value: Floats, hidden: Floats | None) -> Floats:
        """What each step takes from those that it sees, `[steps, width]`."""
        weight: npt.NDArray[Any] = query @ key.transpose(0, 2, 1)
        weight *= np.float32(1 / math.sqrt(query.shape[2]))
        if hidden is not None:
            weight += hidden
        weight -= weight.max(axis=2, keepdims=True)
        np.exp(weight, out=weight)
        weight /= weight.sum(axis=2, keepdims=True)
        heads = value.reshape(len(value), self.heads, -1).transpose(1, 0, 2)
        found: Floats = (weight @ heads).transpose(1, 0, 2).reshape(query.shape[1], -1)
        return found

    def _gated(self, x: Floats, switch: Floats) -> Floats:
        return x * (2 * _sigmoid(switch)) if self.gated else x

    def _fed(self, x: Floats) -> Floats:
        made = self.up(self.before_feed(x))
        if not self.gated:
            return x + self.down(_gelu(made))
        inner = (made.shape[1] - self.width) // 2
        value, switch, gate = made[:, :inner], made[:, inner : 2 * inner], made[:, 2 * inner :]
        fed: Floats = x + self.down(value * (switch * _sigmoid(switch))) * (2 * _sigmoid(gate))
        return fed


class _Linear:
    """`x @ weight + bias`, of several layers side by side."""

    def __init__(self, layers: list[Any]) -> None:
        biases = [np.zeros(of.out_features, np.float32) if of.bias is None else _array(of.bias) for of in layers]
        self.weight = np.ascontiguousarray(np.concatenate([_array(of.weight) for of in layers]).T)
        self.bias = np.concatenate(biases)

    def columns(self, chosen: Rows) -> _Linear:
        """A part of what it makes, in another order."""
        part = object.__new__(_Linear)
        part.weight, part.bias = np.ascontiguousarray(self.weight[:, chosen]), self.bias[chosen]
        return part

    def __call__(self, x: Floats) -> Floats:
        found: Floats = x @ self.weight
        found += self.bias
        return found


class _Norm:
    """LayerNorm."""

    def __init__(self, layer: Any) -> None:
        self.weight, self.bias, self.eps = _array(layer.weight), _array(layer.bias), np.float32(layer.eps)

    def __call__(self, x: Floats) -> Floats:
        centred: npt.NDArray[Any] = x - x.mean(axis=1, keepdims=True)
        variance = np.vecdot(centred, centred)[:, None] * np.float32(1 / x.shape[1])
        centred *= 1 / np.sqrt(variance + self.eps)
        centred *= self.weight
        centred += self.bias
        return centred


def _paired(width: int, heads: int) -> Rows:
    """Columns of a query or key with the numbers of each pair that turns side by side, as a complex number has them.

    A product of query and key is the same in any order of their columns.
    """
    halves = np.arange(width).reshape(heads, 2, -1)
    return halves.transpose(0, 2, 1).reshape(-1)


def _array(tensor: Any) -> Floats:
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), np.float32)


def _future(steps: int) -> Floats:
    """Minus infinity where a step would see a later one, `[steps, steps]`."""
    return np.triu(np.full((steps, steps), -np.inf, np.float32), 1)


def _sigmoid(x: Floats) -> Floats:
    # Overflow of exp to infinity gives the 0 that it stands for.
    with np.errstate(over="ignore"):
        found: Floats = np.reciprocal(1 + np.exp(-x))
    return found


def _gelu(x: Floats) -> Floats:
    from scipy.special import erf

    found: Floats = np.float32(0.5) * x * (1 + erf(x * _SQRT_HALF))
    return found


def _means(events: Floats, places: Rows, steps: int) -> Floats:
    """Mean of the events at each place, `[steps, width]`; `places` ascend and none is left out."""
    if len(places) == steps:
        return events
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    sums: Any = np.add.reduceat(events, starts, axis=0)
    found: Floats = sums / np.diff(np.append(starts, len(places)))[:, None].astype(np.float32)
    return found
