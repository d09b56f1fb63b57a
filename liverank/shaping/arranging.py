"""The list that is shown: position by position, the best (or a draw) of what the rules allow there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from liverank.shaping.constraints import Constraints
from liverank.shaping.diversity import Marginal, marginal
from liverank.shaping.exploration import Draw
from liverank.shaping.listed import Flags, Floats, Listed, boosted, standardised
from liverank.shaping.rules import Rules
from liverank.shaping.setting import Positions, constraints, pinned


@dataclass(frozen=True, slots=True)
class Arranged:
    """The rows of the shown candidates, first to last."""

    rows: list[int]
    propensities: list[float]
    """The chance of each at its position, given those above it; 1 where nothing was drawn."""
    lacking: list[str] = field(default_factory=list)
    """Which rules do not hold as they are written, and why."""


def arrange(listed: Listed, rules: Rules, k: int | None, excluded: Flags, draw: Draw | None = None) -> Arranged:
    """Arranges a list of `k` candidates, or of all.

    It keeps its length whatever the rules say, but for what they leave out; what cannot hold then is in `lacking`.
    Order of precedence: exclusions, pins, caps in the order given, the minimum of new items, then scores (standardised
    and boosted) with diversity or draws. Ties go to the order given.

    Args:
        listed: the candidates.
        rules: what holds for this list; its exclusions are in `excluded`.
        k: most items; None for all.
        excluded: what may not be shown, `[candidates]`.
        draw: of lists that are explored.
    """
    values = boosted(standardised(listed.scores), rules.boost, listed)
    kept = len(listed) - int(excluded.sum())
    length = min(k or kept, kept)
    pins, lacking = pinned(rules.pins, listed, excluded, kept)
    available = ~excluded
    available[list(pins.values())] = False
    limits, short = constraints(rules.caps, rules.new, listed, available, pins, length)
    diverse, none = _diverse(rules, listed, values, length)
    chosen = _Chosen(values, limits, pins, diverse, rules.diversity.depth if rules.diversity else 0, draw)
    return Arranged(*chosen.list(length), [*lacking, *short, *none])


def _diverse(rules: Rules, listed: Listed, values: Floats, length: int) -> tuple[Marginal | None, list[str]]:
    if rules.diversity is None or length < 2:
        return None, []
    vectors = listed.vectors() if listed.vectors is not None else None
    if vectors is None:
        return None, ["rules: diversity: the model has no embeddings"]
    fitting = msgspec.structs.replace(rules.diversity, depth=min(rules.diversity.depth, length))
    return marginal(fitting, values, vectors), []


@dataclass(slots=True)
class _Chosen:
    values: Floats
    limits: Constraints
    pins: Positions
    diverse: Marginal | None
    depth: int
    draw: Draw | None

    def list(self, length: int) -> tuple[list[int], list[float]]:
        """Rows and propensities: one by one as long as a choice depends on those before it, then by value."""
        rows: list[int] = []
        propensities: list[float] = []
        while len(rows) < length and self._depends(len(rows) + 1):
            row, propensity = self._next(len(rows) + 1)
            rows.append(row)
            propensities.append(propensity)
        rows += self._rest(len(rows), length)
        return rows, propensities + [1.0] * (length - len(propensities))

    def _depends(self, position: int) -> bool:
        explored = self.draw is not None and position <= self.draw.last
        return self.limits.more or explored or (self.diverse is not None and position <= self.depth)

    def _next(self, position: int) -> tuple[int, float]:
        diverse = self.diverse if position <= self.depth else None
        row, propensity = self.pins.get(position), 1.0
        if row is None:
            values = self.values if diverse is None else diverse.values()
            if self.draw is not None and self.draw.explores(position):
                row, propensity = self.draw.next(position, values, self.limits.allowed())
            else:
                row = self.limits.best(values)
            self.limits.take(row)
        if diverse is not None:
            diverse.chose(row)
        return row, propensity

    def _rest(self, done: int, length: int) -> Iterator[int]:
        left = np.flatnonzero(self.limits.available)
        order: npt.NDArray[np.intp] = left[np.argsort(-self.values[left], kind="stable")]
        others = iter(order.tolist())
        for position in range(done + 1, length + 1):
            yield self.pins[position] if position in self.pins else next(others)
