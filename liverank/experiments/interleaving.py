"""Two rankings in one list, so that the same user compares them at the same moment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence


def team_draft(first: Sequence[int], second: Sequence[int], seed: str) -> tuple[list[int], list[int]]:
    """Interleaves two rankings of the same rows by team draft (Radlinski, Kurup and Joachims, 2008).

    In each round a fair coin says which team picks first; either picks its best row that is still there. Both teams
    hold equally many rows after every round, and each is as likely as the other to have the upper one.

    Args:
        first: rows of one ranking, best first.
        second: the same rows in the other's order.
        seed: decides the coins; the same seed gives the same list.

    Returns:
        The rows in the order to show, and the team of each: 0 for the first ranking, 1 for the second.

    >>> team_draft([0, 1, 2], [2, 1, 0], "b")
    ([2, 0, 1], [1, 0, 0])
    """
    picks = (iter(first), iter(second))
    taken: set[int] = set()
    order: list[int] = []
    teams: list[int] = []
    tossed = _coins(seed)
    while len(order) < len(first):
        leader = next(tossed)
        for team in (leader, 1 - leader):
            row = next((row for row in picks[team] if row not in taken), None)
            if row is not None:
                taken.add(row)
                order.append(row)
                teams.append(team)
    return order, teams


def _coins(seed: str) -> Iterator[int]:
    """Fair bits, as many as are asked for, that only the seed decides."""
    block = 0
    while True:
        for byte in hashlib.blake2b(f"{block}\0{seed}".encode()).digest():
            for bit in range(8):
                yield byte >> bit & 1
        block += 1
