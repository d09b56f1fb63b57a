"""Users of the synthetic world: tastes that may drift, and who is a crawler."""

from __future__ import annotations

import numpy as np

from liverank.data.catalogue import Flags, Floats, Ints, epoch
from liverank.data.synthetic_settings import SyntheticSettings
from liverank.data.vocabulary import STYLES, TOPICS

COHORT: int = 8192
"""Users that are generated together; part of what a seed means, unlike the number of processes."""
_SHOWN_AT_ONCE = 4_000_000


def cohort_size(settings: SyntheticSettings) -> int:
    """Users of a cohort: fewer where each sees so much that a whole one would not fit into memory."""
    lists = settings.impressions_per_user + settings.bots * settings.bot_lists
    return int(np.clip(_SHOWN_AT_ONCE // (lists * settings.shown), 64, COHORT))


def cohorts(settings: SyntheticSettings) -> list[tuple[int, int]]:
    """First user and number of users of each cohort."""
    size = cohort_size(settings)
    return [(first, min(size, settings.users - first)) for first in range(0, settings.users, size)]


class Audience:
    """The hidden truth of some users that follow each other, by their place among them.

    Args:
        settings: of the world.
        groups: first user and number of users of each cohort.
    """

    def __init__(self, settings: SyntheticSettings, groups: list[tuple[int, int]]) -> None:
        self.settings, self.first = settings, groups[0][0]
        self._parts = list(groups)
        self._taste: list[Floats] = []
        self._favourites: list[Ints] = []
        self.bots = bots(settings)[self.first : self.first + len(self)]

    def __len__(self) -> int:
        return sum(count for _, count in self._parts)

    def add(self, count: int) -> None:
        """Adds users with tastes of their own, people all."""
        self._parts.append((self.first + len(self), count))
        self._taste, self._favourites = [], []
        self.bots = np.concatenate([self.bots, np.zeros(count, bool)])

    def taste(self, users: Ints, day: Floats) -> Floats:
        """`[users, topics]`: what share of each user's wishes each topic has on its day."""
        number, share = self._epochs(day)
        now = self._all_tastes[number, users]
        if not self.settings.taste_drift:
            return now
        return np.asarray((1 - share)[:, None] * now + share[:, None] * self._all_tastes[number + 1, users])

    def favourites(self, users: Ints, day: Floats) -> tuple[Ints, Ints, Floats]:
        """`[users, 2]` ranks among the living styles in the epoch before and in the one after, and the latter's share.

        Ranks, so that a drift of what goes together moves everybody's favourites.
        """
        number, share = self._epochs(day)
        now = self._all_favourites[number, users]
        soon = self._all_favourites[number + 1, users] if self.settings.taste_drift else now
        return now, soon, share

    def _epochs(self, day: Floats) -> tuple[Ints, Floats]:
        number, share = epoch(day, self.settings.taste_drift)
        needed = int(number.max(initial=0)) + (2 if self.settings.taste_drift else 1)
        if len(self._taste) < needed:
            while len(self._taste) < needed:
                self._draw(len(self._taste))
            self._all_tastes, self._all_favourites = np.stack(self._taste), np.stack(self._favourites)
        return number, share

    def _draw(self, number: int) -> None:
        tastes, favourites = [], []
        for first, count in self._parts:
            rng = np.random.default_rng([self.settings.seed, 2, first, *([number] if number else [])])
            tastes.append(rng.dirichlet(np.full(TOPICS, 0.35), count))
            favourites.append(rng.integers(0, STYLES // 2, (count, 2)))
        self._taste.append(np.vstack(tastes))
        self._favourites.append(np.vstack(favourites))


def bots(settings: SyntheticSettings) -> Flags:
    """`[users]`: who is a crawler."""
    return np.asarray(np.random.default_rng([settings.seed, 10]).random(settings.users) < settings.bots)
