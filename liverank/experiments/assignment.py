"""Which variant a user has: the same in every process and after every restart, without a table."""

from __future__ import annotations

import math
from collections.abc import Mapping

from liverank.shaping.exploration import uniform


class Assignment:
    """Weighted rendezvous hashing of users to variants.

    Each variant gets a number for each user, `-log(1 - u) / share` with `u` uniform from a blake2b hash of salt, user
    and variant; the smallest wins. These are exponential with rate `share`, so that a variant wins with a chance
    proportional to its share (highest random weight: Thaler and Ravishankar, 1998, here with shares). When one
    variant's share changes and the others keep their proportions, users move to or from that variant alone, as few as
    its share's change asks for.
    """

    def __init__(self, salt: str, shares: Mapping[str, float]) -> None:
        self._salt = salt
        self._shares = dict(shares)

    def variant(self, user_id: str) -> str:
        """The user's variant.

        >>> Assignment("s", {"control": 0.5, "new": 0.5}).variant("anna")
        'new'
        """
        shares, salt = self._shares, self._salt
        return min(shares, key=lambda name: -math.log1p(-uniform(salt, user_id, name)) / shares[name])
