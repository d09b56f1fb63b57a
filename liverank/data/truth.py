"""The true preferences of the synthetic world's users: how likely each clicks an item that is looked at.

What a user wants in a moment is hidden: a style s, a topic t, whether the item clicked last is wanted again, and
whether earlier items are sought. These are drawn independently given what the user clicked before, so that the chance
of a click on item i, with style S and topic T, is the finite sum

    P(i) = sum over a, b, g, k in {0, 1} of  P(a) P(b) P(g) P(k) sigmoid(base(i) + 2 a + 0.6 b + 2.4 a b + g + 4 k)

with P(a=1) = P(s = S) = 0.9 [S follows the style clicked last] + 0.1 * share of the user's favourites that are S,
P(b=1) = P(t = T) = 0.5 [T is the topic clicked last] + 0.5 * the user's taste for T (users without a click: favourites
and taste alone), P(g=1) = again_share for the item clicked last, else 0, and P(k=1) = repeat_share for the last 64
clicked, else 0. base(i) is the click_logit plus what is not hidden: taste, quality, a style asleep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from liverank.data.catalogue import NOTHING, Floats, Ints
from liverank.data.looking import SECOND
from liverank.data.synthetic_state import end_of, settings_of, state_at
from liverank.data.synthetic_tables import item_ids, user_ids
from liverank.data.tastes import (
    LED,
    LIKES_AGAIN,
    LIKES_BOTH,
    LIKES_STYLE,
    LIKES_TOPIC,
    SAME_TOPIC,
    SEEKS,
    State,
    Tastes,
    among,
)
from liverank.data.visits import DAY, START_MICROSECONDS
from liverank.data.vocabulary import STYLES, TOPICS
from liverank.errors import DataError

_CELLS_AT_ONCE: Final = 1_000_000
_STATES_AT_ONCE: Final = 100_000


def chances(tastes: Tastes, users: Ints, items: Ints, day: float, state: State, regime: int) -> Floats:
    """`[users, items]`: the exact chance of a click on each item, were it looked at; 0 for items yet to appear.

    Args:
        tastes: the world.
        users: places in its audience.
        items: numbers of items.
        day: the moment, in days from the start.
        state: what these users clicked before, in the order of `users`.
        regime: what goes together now.
    """
    days = np.full(len(users), day)
    taste, last = tastes.audience.taste(users, days), state.last
    style = _styles(tastes, users, days, last, regime)[:, tastes.catalogue.style[items]]
    known = (last != NOTHING)[:, None]
    topics = np.where(known, (1 - SAME_TOPIC) * taste, taste)
    topics += SAME_TOPIC * known * (np.arange(TOPICS) == tastes.catalogue.topic[last][:, None])
    topic = topics[:, tastes.catalogue.topic[items]]
    wide = np.broadcast_to(items, (len(users), len(items)))
    base = tastes.base(wide, taste[:, tastes.catalogue.topic[items]], regime)
    result = _clicks(base, style, topic)
    settings = tastes.settings
    again = settings.again_share * (wide == last[:, None])
    sought = np.zeros(wide.shape)
    if settings.repeat_share:
        sought[among(wide, state.memory)] = settings.repeat_share
    rows, places = np.nonzero((again > 0) | (sought > 0))
    here = (rows, places)
    result[here] = _recalled(base[here], style[here], topic[here], again[here], sought[here])
    return np.where(tastes.catalogue.launch[items] > day, 0.0, result)


def _styles(tastes: Tastes, users: Ints, days: Floats, last: Ints, regime: int) -> Floats:
    """`[users, styles]`: how likely each style is the one that is wanted."""
    now, soon, share = tastes.audience.favourites(users, days)
    alive, ranks = tastes.catalogue.alive(regime), np.zeros((len(users), STYLES // 2))
    rows = np.arange(len(users))
    for number in (0, 1):
        np.add.at(ranks, (rows, now[:, number]), 0.5 * (1 - share))
        np.add.at(ranks, (rows, soon[:, number]), 0.5 * share)
    result = np.zeros((len(users), STYLES))
    result[:, alive] = ranks
    known = last != NOTHING
    result[known] *= 1 - LED
    result[rows[known], tastes.catalogue.follows(regime)[tastes.catalogue.style[last[known]]]] += LED
    return result


def _clicks(base: Floats, style: Floats, topic: Floats) -> Floats:
    """The chance of a click where style and topic are wanted with these chances."""
    neither, one, other = (
        1 / (1 + np.exp(-base)),
        1 / (1 + np.exp(-base - LIKES_STYLE)),
        1 / (1 + np.exp(-base - LIKES_TOPIC)),
    )
    both = 1 / (1 + np.exp(-base - LIKES_STYLE - LIKES_TOPIC - LIKES_BOTH))
    return np.asarray(
        (1 - topic) * ((1 - style) * neither + style * one) + topic * ((1 - style) * other + style * both)
    )


def _recalled(base: Floats, style: Floats, topic: Floats, again: Floats, sought: Floats) -> Floats:
    """The same for items that may be wanted again or sought."""
    result = np.zeros(len(base))
    for wanted, share in ((0.0, 1 - again), (LIKES_AGAIN, again)):
        for seeks, part in ((0.0, 1 - sought), (SEEKS, sought)):
            result += share * part * _clicks(base + wanted + seeks, style, topic)
    return result


class Truth:
    """The true preferences of a generated dataset's users at any moment of its days.

    Args:
        dataset: a folder as `liverank data generate` writes it.

    Raises:
        DataError: the folder is not synthetic.
    """

    def __init__(self, dataset: Path) -> None:
        self.dataset, self.settings = dataset, settings_of(dataset)
        self.tastes = Tastes.of(self.settings)
        self.items = item_ids(np.arange(self.settings.items), self.settings)

    def end(self) -> datetime:
        """Just after the last impression."""
        return datetime.fromtimestamp(end_of(self.dataset) / SECOND, UTC) + timedelta(hours=1)

    def numbers(self, users: Sequence[str]) -> Ints:
        """The numbers of users by their ids.

        Raises:
            DataError: one is not of this world.
        """
        known = set(
            user_ids(
                np.array([number for name in users if (number := _number(name)) >= 0], np.int64), self.settings
            ).to_pylist()
        )
        for name in users:
            if name not in known or _number(name) >= self.settings.users:
                raise DataError(f"{name} is no user of {self.dataset}.", "users.parquet in that folder lists them.")
        return np.array([_number(name) for name in users], np.int64)

    def preferences(self, users: Ints, items: Ints, at: datetime) -> Floats:
        """`[users, items]`: see `chances`; crawlers, who open everything, have 1."""
        found = [chance for _, chance in self.blocks(users, items, at)]
        return np.vstack([np.zeros((0, len(items))), *found])

    def blocks(self, users: Ints, items: Ints, at: datetime) -> Iterator[tuple[Ints, Floats]]:
        """Some users at a time and their `[users, items]`, in bounded memory."""
        moment = (at.timestamp() - START_MICROSECONDS / SECOND) * SECOND / DAY
        step = max(1, _CELLS_AT_ONCE // max(len(items), 1))
        for first in range(0, len(users), _STATES_AT_ONCE):
            known = users[first : first + _STATES_AT_ONCE]
            state = state_at(self.dataset, self.settings, known, at)
            for begin in range(0, len(known), step):
                some = slice(begin, begin + step)
                yield known[some], self._block(known[some], items, moment, state.part(some))

    def _block(self, users: Ints, items: Ints, moment: float, state: State) -> Floats:
        regime = int(self.tastes.catalogue.regime(np.array([moment]))[0])
        result = chances(self.tastes, users, items, moment, state, regime)
        here = self.tastes.catalogue.launch[items] <= moment
        return np.where(self.tastes.audience.bots[users][:, None], here * 1.0, result)


def true_preferences(dataset: Path, users: Ints, items: Ints, at: datetime) -> npt.NDArray[np.float32]:
    """`[users, items]`, float32: the exact chance that each user clicks each item, were it looked at, at a moment.

    Beside the result, memory is bounded whatever the number of users.
    """
    truth, result, done = Truth(dataset), np.zeros((len(users), len(items)), np.float32), 0
    for some, chance in truth.blocks(users, items, at):
        result[done : done + len(some)] = chance
        done += len(some)
    return result


def _number(user: str) -> int:
    digits = user.removeprefix("user-")
    return int(digits) if digits.isdecimal() else -1
