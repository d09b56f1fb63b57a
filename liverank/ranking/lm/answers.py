"""What a chat model's answer says of an order, repaired: nothing is ever lost, and every repair is counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_BRACKETED = re.compile(r"\[\s*(\d{1,4})\s*\]")
_PLAIN = re.compile(r"(?<![\w.])(\d{1,4})(?![\w])")


@dataclass(frozen=True, slots=True)
class Repaired:
    """An order of `candidates` places, the best first, and what the answer got wrong."""

    order: tuple[int, ...]
    """Places, counted from 0; each exactly once."""
    missing: int
    """Candidates that the answer left out: they follow in the order that they came in."""
    repeated: int
    """Numbers that came again: the first time counts."""
    unknown: int
    """Numbers of no candidate."""

    @property
    def sound(self) -> bool:
        """Whether nothing had to be repaired."""
        return not (self.missing or self.repeated or self.unknown)


def read_order(answer: str, candidates: int) -> Repaired | None:
    """The order in an answer such as `[3] > [1] > [2]`; None where it names no candidate.

    Numbers in brackets count, or where there are none, numbers that stand alone.

    >>> read_order("[2] > [9] > [2]", 3)
    Repaired(order=(1, 0, 2), missing=2, repeated=1, unknown=1)
    """
    numbers = [int(one) for one in _BRACKETED.findall(answer) or _PLAIN.findall(answer)]
    order: list[int] = []
    repeated = unknown = 0
    for number in numbers:
        if not 1 <= number <= candidates:
            unknown += 1
        elif number - 1 in order:
            repeated += 1
        else:
            order.append(number - 1)
    if not order:
        return None
    rest = _rest(order, candidates)
    return Repaired((*order, *rest), len(rest), repeated, unknown)


def _rest(order: Sequence[int], candidates: int) -> list[int]:
    named = set(order)
    return [place for place in range(candidates) if place not in named]
