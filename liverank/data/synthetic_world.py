"""The synthetic world as live traffic: it goes on where the generated data ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from liverank.data.browsing import EXPLORE, SURFACES
from liverank.data.looking import EVENT_TYPES, SECOND, answer
from liverank.data.synthetic_state import end_of, settings_of, state_at
from liverank.data.synthetic_tables import DEVICES, devices, item_ids, user_ids
from liverank.data.tastes import NOTHING, Intent, Ints, State, Tastes, plackett_luce
from liverank.data.visits import DAY, START_MICROSECONDS
from liverank.data.world import LiveRequest, event_id
from liverank.errors import DataError
from liverank.events import Interaction


class SyntheticWorld:
    """Live traffic of the generator's own users: a pool of them browses on, one session after the other.

    Args:
        dataset: a synthetic dataset folder, as generated or ingested.
        seed: another seed gives other traffic of the same world.
        users: size of the pool; a fifth of it has never been seen before.
        candidates: items that the upstream proposer hands over.

    Raises:
        DataError: the folder is no synthetic dataset.
    """

    def __init__(self, dataset: Path, seed: int = 0, users: int = 200, candidates: int = 40) -> None:
        self.settings = settings_of(dataset)
        self.tastes = Tastes.of(self.settings)
        self.candidates = candidates
        self._rng = np.random.default_rng([self.settings.seed, 9, seed])
        people = np.flatnonzero(~self.tastes.audience.bots)
        fresh = max(1, users // 5)
        self.tastes.audience.add(fresh)
        old = self._rng.choice(people, min(users - fresh, len(people)), replace=False)
        self._pool = np.concatenate([old, self.settings.users + np.arange(fresh)])
        self._state, self._clock = self._where_it_ended(dataset, old)
        self._device = devices(self.settings, len(self.tastes.audience))
        self._names = item_ids(np.arange(self.settings.items), self.settings).to_pylist()
        self._numbers = {name: number for number, name in enumerate(self._names)}
        drifted = self.settings.drift_at is not None and self.settings.drift_at <= self.settings.days
        self._regime = int(drifted)
        self._session, self._left, self._user = 0, 0, 0
        self._wants: dict[tuple[str, datetime], tuple[Intent, int]] = {}

    def _where_it_ended(self, dataset: Path, pool: Ints) -> tuple[State, int]:
        """What the pool clicked last and the time of the last impression, in microseconds."""
        state = State(len(self.tastes.audience))
        known = state_at(dataset, self.settings, pool)
        state.last[pool], state.memory[pool] = known.last, known.memory
        return state, end_of(dataset)

    @property
    def now(self) -> datetime:
        """The world's clock."""
        return datetime.fromtimestamp(self._clock / SECOND, UTC)

    def drift(self) -> None:
        """Wakes the sleeping styles and puts the living ones to sleep; what follows what is drawn anew."""
        self._regime += 1

    def requests(self, count: int) -> Iterator[LiveRequest]:
        """The next `count` requests; sessions of one to some five lists, a few minutes between two lists."""
        for _ in range(count):
            if self._left == 0:
                self._user = int(self._rng.choice(self._pool))
                self._left = int(self._rng.geometric(1 / self.settings.session_lists))
                self._session += 1
            self._left -= 1
            # Longer than it takes to reach the end of a list, so that a user's events never overlap.
            shortest = 4 * self.candidates + 60
            self._clock += int(self._rng.integers(shortest * SECOND, max(420, shortest + 200) * SECOND))
            yield self._request()

    def _request(self) -> LiveRequest:
        user = np.array([self._user])
        day = np.array([(self._clock - START_MICROSECONDS) / DAY])
        intent = self.tastes.intent(self._rng, user, day, self._state, self._regime)
        items, scores = self.tastes.propose(self._rng, intent, self._regime, self.candidates)
        order, _ = plackett_luce(self._rng, scores)
        names = [self._names[item] for item in items[0, order[0]] if item != NOTHING]
        surface = SURFACES[int(self._rng.integers(0, EXPLORE))]
        name = user_ids(user, self.settings)[0].as_py()
        session = f"live-{self.settings.seed}-{self._session:06d}"
        device = {"device": DEVICES[self._device[self._user]]}
        request = LiveRequest(name, names, self.now, surface, session, device)
        self._wants[session, request.timestamp] = (intent, self._regime)
        return request

    def react(self, request: LiveRequest, ranked_item_ids: Sequence[str], impression_id: str) -> list[Interaction]:
        """Looks down the list with the world's position bias and clicks by what the user really wants.

        Raises:
            DataError: the request is not one of this world's or has been answered already.
        """
        wants = self._wants.pop((request.session_id, request.timestamp), None)
        if wants is None:
            raise DataError(f"The request of {request.user_id} at {request.timestamp} is not open in this world.")
        intent, regime = wants
        shown = np.array([[self._numbers.get(name, NOTHING) for name in ranked_item_ids]], np.int64)
        attraction = self.tastes.attraction(intent, shown, regime)
        answers = answer(self._rng, shown, attraction, self.settings)
        rows, clicked = answers.clicks
        self._state.remember(intent.users[rows], clicked)
        # This world has a clock of its own: an event arrives when it happens there, not when a server hears of it.
        return [
            Interaction(
                event_id=event_id(impression_id, number),
                user_id=request.user_id,
                item_id=self._names[answers.item[place]],
                type=EVENT_TYPES[answers.type[place]],
                timestamp=(at := request.timestamp + timedelta(microseconds=int(answers.delay[place]))),
                received_at=at,
                impression_id=impression_id,
                session_id=request.session_id,
                context=dict(request.context),
            )
            for number, place in enumerate(np.argsort(answers.delay, kind="stable"))
        ]
