"""Rules made ready for one list: where pins stand, and caps and minimum as strict as these candidates allow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from liverank.shaping.constraints import CapWindow, Constraints, NewWindow
from liverank.shaping.listed import Codes, Flags, Listed
from liverank.shaping.rules import Cap, NewItems, Pin
from liverank.shaping.search import Looks

Positions = Mapping[int, int]
"""Position (from 1) -> row of the item that is pinned there."""


def pinned(pins: Sequence[Pin], listed: Listed, excluded: Flags, length: int) -> tuple[dict[int, int], list[str]]:
    """Where the pinned candidates stand in a list of `length` (all that are not excluded), and what could not be done.

    Pins with a position take theirs first, the others the first places that are left, in the order given. A place that
    is taken, or behind the end, becomes the next free one, or the last. Pins of what is no candidate are left out.
    """
    rows = {item: row for row, item in enumerate(listed.item_ids)} if pins else {}
    here = [(pin, rows[pin.item_id]) for pin in pins if pin.item_id in rows]
    lacking = [f"rules: pin '{pin.item_id}' is excluded" for pin, row in here if excluded[row]]
    left = [(pin, row) for pin, row in here if not excluded[row]]
    found: dict[int, int] = {}
    places = _Places(length)
    first = 1
    for pin, row in sorted(left, key=lambda one: one[0].position is None):
        place = places.take(pin.position or first)
        found[place] = row
        if pin.position is None:
            first = place + 1
        if pin.position is not None and place != pin.position:
            lacking.append(f"rules: pin '{pin.item_id}' stands at {place}, position {pin.position} is not to be had")
    return found, lacking


class _Places:
    """The places of a list, from 1 to `length`, as they are taken: what is full is gone over once for all."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._last = length
        """The last one that is not taken."""
        self._on = list(range(length + 2))
        """Where to look on from a place; a place that is not taken points to itself, as what is behind the end does."""

    def take(self, wanted: int) -> int:
        """Takes the first place from `wanted` on that is not taken; the last one, where there is none."""
        place = self._free(min(wanted, self._length))
        if place > self._length:
            place = self._last
        self._on[place] = place + 1
        while self._last and self._on[self._last] != self._last:
            self._last -= 1
        return place

    def _free(self, place: int) -> int:
        on = self._on
        while on[place] != place:
            on[place] = place = on[on[place]]
        return place


def constraints(
    caps: Sequence[Cap], new: NewItems | None, listed: Listed, available: Flags, pins: Positions, length: int
) -> tuple[Constraints, list[str]]:
    """Caps and minimum on a list of `length`, and what had to give way.

    They are taken in the order given, the minimum last, each as strict as the candidates allow beside those before it:
    a cap that cannot hold as far as it should holds as far as it can, a minimum asks for as many as there can be.

    Args:
        caps: all of them.
        new: the minimum, if any.
        listed: the candidates.
        available: those that are neither excluded nor pinned; `Constraints` changes it.
        pins: where pinned items stand.
        length: items that are shown.
    """
    free = np.cumsum([place not in pins for place in range(1, length + 1)], dtype=np.int64)
    held: list[Callable[[], CapWindow]] = []
    lacking: list[str] = []
    looks = Looks(0)
    for cap in caps:
        looks.settle_next()
        window = _window(cap.within, length)
        codes = listed.codes(cap.attribute)
        there = codes[[row for place, row in pins.items() if place <= window]]
        lacking += _over(cap, there)
        slots = int(free[window - 1]) if window else 0

        def made(slots: int, cap: Cap = cap, codes: Codes = codes, there: Codes = there) -> CapWindow:
            return CapWindow.of(codes, cap.most, there, slots)

        def holds(slots: int, made: Callable[[int], CapWindow] = made) -> bool:
            return Constraints(available, [*(one() for one in held), made(slots)], None, looks).feasible()

        most = _largest(slots, holds)
        if most < slots:
            reach = int(np.searchsorted(free, most, side="right"))
            lacking.append(
                f"rules: at most {cap.most} of a {cap.attribute} within {window}: holds for the first {reach}, "
                "the candidates allow no more"
            )
        if most:
            held.append(partial(made, most))
    looks.settle_next()
    minimum, short = _minimum(new, listed, available, pins, free, [one() for one in held], length, looks)
    return Constraints(available, [one() for one in held], minimum), [*lacking, *short]


def _minimum(
    new: NewItems | None,
    listed: Listed,
    available: Flags,
    pins: Positions,
    free: Codes,
    caps: list[CapWindow],
    length: int,
    looks: Looks,
) -> tuple[NewWindow | None, list[str]]:
    window = _window(new.within, length) if new else 0
    # A share as 0.1 is no exact fraction: 0.1 of 30 must not ask for 4.
    wanted = math.ceil(new.least * window - 1e-9) if new else 0
    if not wanted:
        return None, []
    if listed.is_new is None:
        return None, [f"rules: {wanted} new within {window}: the model does not say what is new"]
    is_new = listed.is_new()
    there = int(is_new[[row for place, row in pins.items() if place <= window]].sum())
    slots = int(free[window - 1])
    need = _largest(
        max(0, wanted - there),
        lambda need: Constraints(available, caps, NewWindow(is_new, need, slots), looks).feasible(),
    )
    short = there + need < wanted
    why = [f"rules: {wanted} new within {window}: {there + need} hold, the candidates allow no more"] if short else []
    return NewWindow(is_new, need, slots), why


def _window(within: int | None, length: int) -> int:
    return min(within or length, length)


def _over(cap: Cap, pinned: Codes) -> list[str]:
    """Pins that break a cap by themselves: they stay, and nothing else of their value comes."""
    most = int(np.bincount(pinned[pinned >= 0]).max(initial=0))
    if most <= cap.most:
        return []
    return [f"rules: at most {cap.most} of a {cap.attribute}: {most} are pinned"]


def _largest(most: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to `most` that holds; what holds for a number holds for smaller ones, and 0 always."""
    if most <= 0 or holds(most):
        return max(0, most)
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
