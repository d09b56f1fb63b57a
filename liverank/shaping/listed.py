"""What shaping knows of a request's candidates; all but ids and scores is asked for only where a rule needs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liverank.shaping.rules import Boost

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]


def _no_values(attribute: str) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Listed:
    """The candidates in the order given; ids are distinct, scores finite, every sequence has one entry a candidate."""

    item_ids: Sequence[str]
    scores: npt.NDArray[np.floating]
    attribute: Callable[[str], Sequence[str]] = _no_values
    """The candidates' values of an attribute, "" where one has none; nothing at all where no candidate has any."""
    is_new: Callable[[], Flags] | None = None
    """Which have no training event but a text to go by; None where nobody knows."""
    vectors: Callable[[], npt.NDArray[np.float32] | None] | None = None
    """Unit vectors, `[candidates, width]`, 0 where a candidate has none; None where there are none at all."""

    def __len__(self) -> int:
        return len(self.item_ids)

    def among(self, item_ids: Iterable[str]) -> Flags:
        """Which candidates are among these."""
        named = set(item_ids)
        if not named:
            return np.zeros(len(self), bool)
        return np.fromiter((item in named for item in self.item_ids), bool, len(self))

    def codes(self, attribute: str) -> Codes:
        """The candidates' values of an attribute as whole numbers from 0, -1 where one has none."""
        found: dict[str, int] = {"": -1}
        values = self.attribute(attribute)
        if not values:
            return np.full(len(self), -1, np.int64)
        return np.fromiter((found.setdefault(value, len(found) - 1) for value in values), np.int64, len(self))


def standardised(scores: npt.NDArray[np.floating]) -> Floats:
    """Scores in standard deviations from their mean, `[candidates]`; all 0 where they are equal."""
    wide = np.asarray(scores, np.float64)
    spread = float(wide.std())
    if not spread > 1e-12 * max(1.0, float(np.abs(wide).max(initial=0.0))):
        return np.zeros(len(wide))
    moved: Floats = (wide - wide.mean()) / spread
    return moved


def boosted(values: Floats, boosts: Sequence[Boost], listed: Listed) -> Floats:
    """The values with every boost added to the candidates that it names, `[candidates]`."""
    found = values.copy()
    rows = {item: row for row, item in enumerate(listed.item_ids)} if boosts else {}
    shifts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for boost in boosts:
        if boost.item_id is None:
            shifts[boost.attribute or ""][boost.value or ""] += boost.shift
        elif boost.item_id in rows:
            found[rows[boost.item_id]] += boost.shift
    for attribute, by_value in shifts.items():
        # Each candidate once an attribute, however many of its values are boosted.
        if told := listed.attribute(attribute):
            found += np.fromiter((by_value.get(value, 0.0) for value in told), np.float64, len(found))
    return found
