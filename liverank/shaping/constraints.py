"""Caps and the minimum of new items as the free places of a list are filled one by one, never into a dead end.

A *free place* is one without a pin; `slots` of a rule are the free places of its first positions. Pinned items are
counted from the start, so that what is left here is the others'.

**One cap (or none) and a minimum of new items: exact by counting.** What a cap still lets in is a partition matroid. An
allowed item keeps the rest fillable, because sum over values of min(left of the cap, candidates left) sinks by at most
one, as the places do. And by the exchange property a largest set of new items that the cap allows extends to as many
items as it allows at all. So a place may be given to an old item if and only if the new ones still needed are no more
than `reach`: the new items that the cap and the places inside its window still take, plus the places behind that window
(as far as the minimum's own window goes), and never more than there are.

**Several caps.** Choosing items under three or more partitions at once is as hard as three-dimensional matching. Where
candidates are many, no choice can lead astray, and `ample` proves it: the places that are left cannot use up so many
values that nothing (and nothing new, where that is needed) is left to choose. Else a bounded search (`search.Search`)
shows an end of the list for every choice before it is made; what it cannot show within its bound counts as impossible,
so that the rules hold all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from liverank.shaping.listed import Codes, Flags, Floats
from liverank.shaping.search import Looks, Search

UNLIMITED: Final = 1 << 40


@dataclass(slots=True)
class CapWindow:
    """A cap as it stands: how many items of each value may still come."""

    codes: Codes
    """Each candidate's value, -1 for none, `[candidates]`."""
    left: npt.NDArray[np.int64]
    """Of each value, and last, where -1 finds it, for candidates without one, `[values + 1]`."""
    slots: int

    @classmethod
    def of(cls, codes: Codes, most: int, pinned: Codes, slots: int) -> CapWindow:
        """A cap of `most`; `pinned` are the values of the pinned items in its window."""
        values = int(codes.max(initial=-1)) + 1
        taken = np.bincount(pinned[pinned >= 0], minlength=values)
        return cls(codes, np.append(np.maximum(most - taken, 0), UNLIMITED), slots)

    def counts(self, rows: Flags) -> npt.NDArray[np.int64]:
        """How many of the flagged candidates have each value, those without one last, `[values + 1]`."""
        kinds = len(self.left)
        return np.bincount(self.codes[rows] % kinds, minlength=kinds)

    def room(self, rows: Flags) -> int:
        """The most of the flagged candidates that it still lets in."""
        return int(np.minimum(self.left, self.counts(rows)).sum())

    def most_blocked(self, rows: Flags, places: int) -> float:
        """An upper bound of the flagged candidates that it forbids once `places` items more are chosen.

        A value is used up by as many items as it has left: the fractional knapsack of candidates by places.
        """
        counts, left = self.counts(rows)[:-1], self.left[:-1]
        open_ = (counts > 0) & (left > 0)
        per_place = np.sort(np.repeat(counts[open_] / left[open_], np.minimum(left[open_], places)))
        return float(per_place[::-1][:places].sum())


@dataclass(slots=True)
class NewWindow:
    """A minimum of new items as it stands."""

    is_new: Flags
    need: int
    slots: int


class Constraints:
    """What may stand on the next free place, and what was put there; feasible from the start, and ever after.

    Args:
        available: candidates that are neither excluded nor pinned, `[candidates]`; changed in place.
        caps: all of them.
        new: the minimum of new items, if any.
        looks: what its searches may look at; None: `MOST_LOOKS_ALTOGETHER`.
    """

    def __init__(
        self, available: Flags, caps: list[CapWindow], new: NewWindow | None, looks: Looks | None = None
    ) -> None:
        self.available = available
        self._caps = caps
        self._new = new
        self._each: list[CapWindow | None] = [*caps] or [None]
        self._slot = 0
        self.end = max([0, *(cap.slots for cap in caps), new.slots if new and new.need > 0 else 0])
        """Free places that a rule has a say in."""
        self._search: Search | None = None
        self._looks = looks or Looks()
        self._fillable = False
        self._retry = 0
        """The place from which on it is asked again whether counting is enough."""

    @property
    def more(self) -> bool:
        """Whether a rule has a say in the next free place."""
        return self._slot < self.end

    def feasible(self) -> bool:
        """Whether the places can be filled so that all rules hold; False, with several caps, where none was found."""
        if any(cap.room(self.available) < cap.slots for cap in self._caps):
            return False
        if self._new is not None and self._new.need > min(self._reach(cap, 0)[0] for cap in self._each):
            return False
        if len(self._caps) > 1 and self._looks.left <= 0:
            return self.ample()
        search = self._needed()
        return search is None or bool(search.found)

    def allowed(self) -> Flags:
        """All candidates that may stand on the next free place, `[candidates]`."""
        may, search = self._by_counting(), self._needed()
        return may if search is None else search.allowed(may)

    def best(self, values: Floats) -> int:
        """The allowed candidate of the largest value; of equal ones the first."""
        search = self._needed()
        if search is not None:
            # The witness' kind, all that is left of a search that is spent, breaks no rule: no need to count.
            return search.best(self.available if search.spent else self._by_counting(), values)
        rows = np.flatnonzero(self._by_counting())
        return int(rows[values[rows].argmax()])

    def ample(self) -> bool:
        """Whether counting is enough for the next place under several caps, whatever stands there.

        That is so when neither the places that are left nor the new items that are needed can use up all there is.
        """
        may = self.available.copy()
        open_caps = [cap for cap in self._caps if self._slot < cap.slots]
        for cap in open_caps:
            may &= cap.left[cap.codes] > 0

        def remains(rows: Flags, taken: int) -> bool:
            return int(rows.sum()) - taken - sum(cap.most_blocked(rows, taken) for cap in open_caps) >= 1

        # Before the last place one less was taken; that something is left for it stays true whatever is chosen.
        self._fillable = self._fillable or remains(may, self.end - self._slot - 1)
        if not self._fillable:
            return False
        new = self._new
        # The next place may go to any item, the needed new ones can follow at once: one less than them before the last.
        return new is None or new.need <= 0 or self._slot >= new.slots or remains(may & new.is_new, new.need)

    def _needed(self) -> Search | None:
        """The search, where a rule has a say and counting does not do."""
        if len(self._caps) < 2 or not self.more:
            return None
        # A search is given up only while there is enough for another one.
        if self._search is not None and (self._slot < self._retry or not self._looks.enough):
            return self._search
        if self.ample():
            self._search = None
            return None
        # What is not ample seldom is at the next place: asking at each would cost long lists more than the search.
        self._retry = self._slot + 1 + self._slot // 16
        if self._search is None:
            self._search = Search(self.available, self._caps, self._new, self.end, self._looks, self._slot)
        return self._search

    def take(self, row: int) -> None:
        """Puts a candidate on the next free place."""
        self.available[row] = False
        if self.more:
            if self._search is not None:
                self._search.take(row)
            for cap in self._caps:
                if self._slot < cap.slots:
                    cap.left[cap.codes[row]] -= 1
            if self._new is not None and self._new.is_new[row]:
                self._new.need -= 1
        self._slot += 1

    def _by_counting(self) -> Flags:
        """What no rule forbids by itself."""
        may = self.available.copy()
        if not self.more:
            return may
        for cap in self._caps:
            if self._slot < cap.slots:
                may &= cap.left[cap.codes] > 0
        new = self._new
        if new is None or new.need <= 0 or self._slot >= new.slots:
            return may
        for each in self._each:
            loose, tight = self._reach(each, 1)
            old = np.full(len(may), new.need <= loose)
            if each is not None and self._slot < each.slots:
                # An old item takes the place of a new one of its value where the cap has no more room than those need.
                crowded = each.left <= each.counts(self.available & new.is_new)
                old &= ~crowded[each.codes] | (new.need <= tight)
            may &= new.is_new | old
        return may

    def _reach(self, cap: CapWindow | None, used: int) -> tuple[int, int]:
        """New items that can still come after `used` places: whatever stands there, and where it costs the cap one."""
        new = self._new
        assert new is not None
        there = self.available & new.is_new
        places, most = new.slots - self._slot - used, int(there.sum())
        if cap is None or self._slot >= cap.slots:
            return min(places, most), min(places, most)
        inside = min(places, cap.slots - self._slot - used)
        room = cap.room(there)
        loose, tight = (min(min(inside, fits) + places - inside, most) for fits in (room, room - 1))
        return loose, tight
