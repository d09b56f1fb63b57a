"""Counts that take new events in without a refit: what the count ranker counts, kept up to date.

Only users with new events are looked at: their pairs are counted with the new events and without, and the difference is
added. Decay by age costs nothing, because weights grow with time instead of shrinking (forward decay, Cormode et al.,
2009) and only ratios matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank.config.training import CountConfig
from liverank.ranking.count import PRIOR, CountRanker
from liverank.ranking.data import Catalogue, Events, Floats, Rows
from liverank.ranking.tfidf import TextVectors
from liverank.ranking.transitions import SECONDS_PER_DAY, decay, normalised, transition_counts

REMEMBERED: Final = 3
"""Windows of steps of each user that are kept: what comes later than those is counted as if it were the oldest."""
FURTHEST: Final = 40.0
"""Half-lives after which the instant that weights refer to is moved, so that they stay far from float32's end."""
NOISE: Final = 1e-5
"""Share of a count below which a difference is rounding."""


@dataclass
class _Aged:
    """Sums of weights that halve every `half_life` days, as seen at `at`."""

    half_life: float
    at: float
    values: Any

    def to(self, now: float) -> Any:
        """The sums as seen at `now`."""
        factor = float(decay(np.asarray([now - self.at]), self.half_life)[0])
        return self.values * np.float32(factor)

    def move(self, now: float) -> None:
        """Lets the sums refer to `now`, where the instant they refer to is too long ago."""
        if (now - self.at) / (self.half_life * SECONDS_PER_DAY) > FURTHEST:
            self.values, self.at = self.to(now), now


class LiveCounts:
    """Transitions and popularity of a stream of events; `ranker` is what `CountRanker.counted` would make of all.

    Args:
        catalogue: the items; events of others are left out before.
        events: what there is so far, empty or not.
        config: settings of the count ranker.
    """

    def __init__(self, catalogue: Catalogue, events: Events, config: CountConfig) -> None:
        self.catalogue = catalogue
        self.config = config
        self._heaviest = float(events.weight.max(initial=0))
        self._users = {name: at for at, name in enumerate(events.users)}
        self._types = list(events.types)
        self._type_totals = np.zeros((2, len(events.types)))
        start = events.latest
        items = len(catalogue)
        self._pairs = _Aged(config.half_life_days, start, transition_counts(events, items, config, start))
        halves = (config.half_life_days, config.popularity_half_life_days, config.established_half_life_days)
        self._popularity = [_Aged(half, start, np.zeros(items, np.float32)) for half in halves]
        self._add_popularity(events)
        self._add_types(events)
        self._kept = _latest_steps(events, REMEMBERED * config.window)

    def add(self, events: Events) -> None:
        """Takes new events in; their order does not matter, nor that some are older than what is there.

        An event that lies more than `REMEMBERED` windows of steps back is counted with the oldest steps that are kept.
        """
        if not len(events):
            return
        events = self._known(events)
        self._rescale(float(events.weight.max()))
        now = float(events.timestamp.max())
        for aged in (self._pairs, *self._popularity):
            aged.move(now)
        concerned = np.isin(self._kept.user, np.unique(events.user))
        before = self._kept.where(concerned)
        after = _joined(before, events)
        change = self._counted(after)
        if len(before):
            change = _without_noise(change, self._counted(before))
        self._pairs.values = (self._pairs.values + change).tocsr()
        self._add_popularity(events)
        self._add_types(events)
        kept = _latest_steps(after, REMEMBERED * self.config.window)
        self._kept = _joined(self._kept.where(~concerned), kept)

    def ranker(self, text: TextVectors, weights: Floats = PRIOR, now: float | None = None) -> CountRanker:
        """The count ranker as seen at `now` (seconds since 1970), default the latest event."""
        config = self.config
        now = max(aged.at for aged in self._popularity) if now is None else now
        damping, *popularity = (aged.to(now) for aged in self._popularity)
        counts = self._pairs.to(now).tocsr()
        transitions = normalised(counts, damping, config.popularity_power, config.max_neighbours)
        stacked = np.stack(popularity, axis=1).astype(np.float32)
        return CountRanker(self.catalogue, config, transitions, stacked, text, self._type_weights(), weights)

    def _known(self, events: Events) -> Events:
        """The same events with this object's codes of users and types."""
        users = np.asarray([self._users.setdefault(name, len(self._users)) for name in events.users], np.int32)
        for name in events.types:
            if name not in self._types:
                self._types.append(name)
        types = np.asarray([self._types.index(name) for name in events.types], np.int16)
        names = (tuple(self._users), tuple(self._types))
        return replace(events, user=users[events.user], type=types[events.type], users=names[0], types=names[1])

    def _rescale(self, heaviest: float) -> None:
        """Evidence is counted with the heaviest event as 1: a heavier one makes all others lighter."""
        if heaviest <= self._heaviest:
            return
        share = np.float32(self._heaviest / heaviest)
        self._pairs.values = self._pairs.values * (share * share)
        for aged in self._popularity:
            aged.values = aged.values * share
        self._heaviest = heaviest

    def _counted(self, events: Events) -> Any:
        counts = transition_counts(events, len(self.catalogue), self.config, self._pairs.at)
        part = float(events.weight.max(initial=0))
        return counts * np.float32((part / self._heaviest) ** 2 if self._heaviest > 0 else 0.0)

    def _add_popularity(self, events: Events) -> None:
        share = np.maximum(events.weight, 0) / (self._heaviest or 1.0)
        for aged in self._popularity:
            weight = share * decay(aged.at - events.timestamp, aged.half_life)
            aged.values = aged.values + np.bincount(events.item, weight, len(self.catalogue)).astype(np.float32)

    def _add_types(self, events: Events) -> None:
        size = len(self._types)
        grown = np.zeros((2, size))
        grown[:, : self._type_totals.shape[1]] = self._type_totals
        grown[0] += np.bincount(events.type, events.weight, size)
        grown[1] += np.bincount(events.type, minlength=size)
        self._type_totals = grown

    def _type_weights(self) -> dict[str, float]:
        totals, counts = self._type_totals
        return {name: float(totals[at] / counts[at]) for at, name in enumerate(self._types) if counts[at]}


def _without_noise(after: Any, before: Any) -> Any:
    """What a part of the counts grew by: `after - before`, rounding set to 0."""
    change = (after - before).tocsr()
    change.data[np.abs(change.data) < NOISE * max(float(np.abs(after.data).max(initial=0)), 1e-30)] = 0
    change.eliminate_zeros()
    return change


def _joined(first: Events, second: Events) -> Events:
    """Both, sorted by user and time; `second` has the codes."""
    if not len(first):
        return _sorted(second)
    both = replace(
        second,
        user=np.concatenate([first.user, second.user]),
        item=np.concatenate([first.item, second.item]),
        type=np.concatenate([first.type, second.type]),
        weight=np.concatenate([first.weight, second.weight]),
        timestamp=np.concatenate([first.timestamp, second.timestamp]),
    )
    return _sorted(both)


def _sorted(events: Events) -> Events:
    return events.where(np.lexsort((events.timestamp, events.user)))


def _latest_steps(events: Events, most: int) -> Events:
    """The events of each user's latest `most` steps."""
    if not len(events):
        return events
    steps: Rows = events.steps()
    ends = np.flatnonzero(np.append(np.diff(events.user) != 0, True))
    last: npt.NDArray[np.int64] = np.repeat(steps[ends], np.diff(ends, prepend=-1))
    return events.where(last - steps < most)
