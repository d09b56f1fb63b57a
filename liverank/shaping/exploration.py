"""Lists drawn at random with known chances, so that any other policy can be judged on them without bias.

At each explored position the next item is drawn among those that the rules allow there, with chances proportional to
`exp(value / temperature)`: a Plackett-Luce model whose choice set the rules narrow step by step. A share of all lists
is drawn, the others take the best. The propensity of a line is the chance, over both, of its item at its position given
the lines above it; the product over the first n lines is the chance of these n lines.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from liverank.shaping.listed import Flags, Floats
from liverank.shaping.rules import Exploration

_DRAWN: Final = "drawn"


def uniform(salt: str, impression_id: str, name: str) -> float:
    """A number in [0, 1) that only these three decide; independent for different ones."""
    text = "\0".join((salt, impression_id, name)).encode()
    return (int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 11) * 2.0**-53


class Draw:
    """The draws of one list, and their chances under the whole policy.

    The policy is a mixture: with chance `share` it draws, else it takes the best. After a prefix the chance that it is
    the drawing one is given by Bayes' rule; that mixes the two chances of the next item.
    """

    def __init__(self, exploration: Exploration, impression_id: str) -> None:
        self._exploration = exploration
        self._impression_id = impression_id
        self._drawing = exploration.share
        """Chance of drawing, given what is chosen so far."""
        self.draws = uniform(exploration.salt, impression_id, _DRAWN) < exploration.share

    @property
    def last(self) -> int:
        """The last explored position."""
        return self._exploration.keep + self._exploration.positions

    def explores(self, position: int) -> bool:
        """Whether the item of a position (from 1) may be drawn."""
        return self._exploration.keep < position <= self.last

    def next(self, position: int, values: Floats, allowed: Flags) -> tuple[int, float]:
        """The row at a position and its propensity.

        Args:
            position: from 1.
            values: of all candidates, `[candidates]`.
            allowed: which of them may stand there, `[candidates]`; one at least.
        """
        rows = np.flatnonzero(allowed)
        chances = _softmax(values[rows] / self._exploration.temperature)
        best = int(values[rows].argmax())
        at = self._drawn(position, chances) if self.draws else best
        drawing = self._drawing * float(chances[at])
        propensity = drawing + (1 - self._drawing) * (at == best)
        self._drawing = drawing / propensity
        return int(rows[at]), min(propensity, 1.0)

    def _drawn(self, position: int, chances: Floats) -> int:
        bounds = np.cumsum(chances)
        where = uniform(self._exploration.salt, self._impression_id, str(position)) * bounds[-1]
        # The last bound is met where rounding says so; what has no chance is never drawn.
        return min(int(np.searchsorted(bounds, where, side="right")), int(np.flatnonzero(chances)[-1]))


def _softmax(values: Floats) -> Floats:
    grown: Floats = np.exp(values - values.max())
    shares: Floats = grown / grown.sum()
    return shares
