"""Ends of a list under several caps at once: a depth-first search over kinds of candidates, of bounded length.

Candidates with the same values of all capped attributes, new or not, are of one *kind*; which of a kind stands on a
place makes no difference to what can follow. Between two places where a window ends the order makes none either, so
that only one order of each choice is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from liverank.shaping.listed import Flags, Floats

if TYPE_CHECKING:
    from liverank.shaping.constraints import CapWindow, NewWindow

MOST_LOOKS: Final = 4000
"""Kinds that one search may look at: a few milliseconds. Most look at few more than there are places."""
MOST_LOOKS_ALTOGETHER: Final = 20_000
"""Of all searches for one list, once it is settled how far its rules hold."""
MOST_LOOKS_TO_SETTLE: Final = 6000
"""Of all searches for how far one rule holds; what a rule leaves is there for the next."""


def _altogether() -> int:
    return MOST_LOOKS_ALTOGETHER


@dataclass(slots=True)
class Looks:
    """What searches may still look at, all of them together."""

    left: int = field(default_factory=_altogether)

    @property
    def enough(self) -> bool:
        """Whether a search would have all that one may take."""
        return self.left >= MOST_LOOKS

    def settle_next(self) -> None:
        """Adds what there is for one rule more."""
        self.left = max(0, self.left) + MOST_LOOKS_TO_SETTLE


class Search:
    """Knows, at every place, one way to fill the rest (the *witness*), and looks for others.

    Args:
        available: candidates that are neither excluded nor pinned, `[candidates]`.
        caps: all of them.
        new: the minimum of new items, if any.
        end: free places that a rule has a say in.
        looks: what it may look at; it shares them with others.
        slot: how many of the places are filled.
    """

    def __init__(
        self, available: Flags, caps: list[CapWindow], new: NewWindow | None, end: int, looks: Looks, slot: int = 0
    ) -> None:
        fresh = new.is_new if new is not None and new.need > 0 else np.zeros(len(available), bool)
        # One number for each combination, new ones first.
        combined = (~fresh).astype(np.int64)
        for cap in caps:
            combined = np.unique(combined * len(cap.left) + cap.codes + 1, return_inverse=True)[1].reshape(-1)
        _, first, kind = np.unique(combined, return_index=True, return_inverse=True)
        self._kind = kind.reshape(-1)
        self._is_new = fresh[first].tolist()
        self._values = np.stack([cap.codes[first] for cap in caps], axis=1).tolist()
        self._counts = np.bincount(self._kind[available], minlength=len(first)).tolist()
        self._left = [cap.left.tolist() for cap in caps]
        self._slots = [cap.slots for cap in caps]
        self._need = new.need if new is not None else 0
        self._new_slots = new.slots if new is not None and self._need > 0 else 0
        self._breaks = {*self._slots, self._new_slots}
        self._end = end
        self._slot = slot
        self._looks = looks
        self._shown: dict[int, list[int]] = {}
        """Kind -> how the list can end when it comes next, as far as that was looked for at this place."""
        end_found = self._filled()
        self.found = end_found is not None
        """Whether the list can be filled, as far as the search saw."""
        self._witness = end_found or []

    @property
    def spent(self) -> bool:
        """Whether all that it can still show is the witness."""
        return self._looks.left <= 0

    def allowed(self, may: Flags) -> Flags:
        """Which of the flagged candidates have an end that the search can show, `[candidates]`."""
        good = np.zeros(len(self._counts), bool)
        for kind in np.unique(self._kind[may]).tolist():
            good[kind] = self._ends(kind)
        return may & good[self._kind]

    def best(self, may: Flags, values: Floats) -> int:
        """The candidate of the largest value among the flagged ones that have an end; of equal ones the first."""
        rows = np.flatnonzero(may & (self._kind == self._witness[0])) if self.spent else np.flatnonzero(may)
        first = int(rows[values[rows].argmax()])
        if self._ends(int(self._kind[first])):
            return first
        for row in rows[np.argsort(-values[rows], kind="stable")].tolist():
            if self._ends(int(self._kind[row])):
                return row
        raise AssertionError("the witness' own kind has an end")

    def take(self, row: int) -> None:
        """Notes what was put on the place."""
        kind = int(self._kind[row])
        assert self._ends(kind)
        self._witness = self._shown[kind]
        self._shown = {}
        self._put(kind)

    def _ends(self, kind: int) -> bool:
        """Whether the list can go on with this kind; remembers how."""
        if kind == (self._witness[0] if self._witness else -1):
            self._shown.setdefault(kind, self._witness[1:])
        if kind not in self._shown:
            end = None
            self._looks.left -= 1
            if not self.spent and self._fits(kind):
                self._put(kind)
                end = self._filled()
                self._lift(kind)
            self._shown[kind] = [-1] if end is None else end
        return self._shown[kind] != [-1]

    def _filled(self) -> list[int] | None:
        """Kinds for the places from here to the end; None where there is no such way, or none within the bound."""
        path: list[int] = []
        levels = [self._next(-1)]
        least = max(0, self._looks.left - MOST_LOOKS)
        while levels and self._slot < self._end and self._looks.left > least:
            kind = next(levels[-1], None)
            if kind is not None:
                self._put(kind)
                path.append(kind)
                levels.append(self._next(-1 if self._slot in self._breaks else kind))
                continue
            levels.pop()
            if path:
                self._lift(path.pop())
        done = self._slot >= self._end
        for kind in reversed(path):
            self._lift(kind)
        return path if done else None

    def _next(self, least: int) -> Iterator[int]:
        """Kinds that fit here, new ones first (they come first in number), from `least` on."""
        if self._need > max(0, self._new_slots - self._slot):
            return
        for kind in range(max(0, least), len(self._counts)):
            if self.spent:
                return
            self._looks.left -= 1
            if self._fits(kind):
                yield kind

    def _fits(self, kind: int) -> bool:
        if not self._counts[kind]:
            return False
        if not self._is_new[kind] and self._need > max(0, self._new_slots - self._slot - 1):
            return False
        for left, slots, value in zip(self._left, self._slots, self._values[kind], strict=True):
            if self._slot < slots and left[value] <= 0:
                return False
        return True

    def _put(self, kind: int) -> None:
        self._change(kind, 1)
        self._slot += 1

    def _lift(self, kind: int) -> None:
        self._slot -= 1
        self._change(kind, -1)

    def _change(self, kind: int, by: int) -> None:
        self._counts[kind] -= by
        self._need -= by * self._is_new[kind]
        for left, slots, value in zip(self._left, self._slots, self._values[kind], strict=True):
            if self._slot < slots:
                left[value] -= by
