"""What the re-ranker learns from: steps of users, each with what came next and what could well have come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liverank import progress
from liverank.errors import DataError
from liverank.ranking.count import CountRanker
from liverank.ranking.data import Catalogue, EncodedRequest, Events, Floats, Rows
from liverank.ranking.protocol import Candidates, Context, History, Request

CELLS_AT_ONCE = 2_000_000
"""Pairs of a request and an item that are scored at once."""
STEPS_A_LIST = 20
"""Steps that are tried at most for each list that is wanted."""
STEPS_AT_ONCE = 500
"""Steps whose lists are made at once, at most."""
SEEN_AGAIN = 0.05
"""Share of the events with an item that the user had before, above which such items are negatives too."""


@dataclass(frozen=True, slots=True)
class TrainingList:
    """One list: the state of a user, and candidates with the right one first."""

    request: EncodedRequest
    rows: Rows
    """Rows of the candidates, `[candidates]`; the first is what the user took next, or what a teacher put first."""
    user: int = -1
    """Number of the user, -1: unknown."""
    known: Floats | None = None
    """What a ranker that did not know the answer made of them, logits `[candidates]`: the model learns what is to be
    added. None: nothing is known."""
    teacher: Floats | None = None
    """A teacher's scores of them, `[candidates]`; None: the user's answer is to be learned."""


def training_lists(
    catalogue: Catalogue,
    events: Events,
    count: CountRanker,
    lists: int,
    negatives: int,
    hard: int,
    seed: int,
    one_each: bool = False,
) -> list[TrainingList]:
    """Draws steps of users and hard negatives for each.

    A model that is to re-rank has to learn from lists like those that it will meet: with the right one where a ranker
    put it that did not know it. So users are split in two, each half's lists come from counts of the other half's
    events, and only lists are taken that hold the right one by themselves. (Were it put into lists that lack it, the
    right one would be known by how little it resembles what the ranker finds.)

    Args:
        catalogue: of the events' items.
        events: the training events.
        count: ranks all items for each state; fitted on these events.
        lists: how many at most.
        negatives: of each list, where there are so many.
        hard: how many best items are the list that they are drawn from.
        seed: of the draws.
        one_each: draw one step of each user, with chance that no other user has a part in; `lists` is no limit then.
            The right one is put into lists of `count`. Others have a part in the negatives, and in whether there is
            any, as far as they have one in `count`.

    Raises:
        DataError: there is no step that something comes before, of an item with a text that would be found.
    """
    possible = _possible(catalogue, events)
    if one_each:
        found = _of_each_user(catalogue, events, count, possible, negatives, hard, seed)
    else:
        found = _retrieved(catalogue, events, count, possible, lists, negatives, hard, seed)
    if not found:
        raise DataError(
            "The language model has nothing to learn from: no user has two steps with items that have texts, of which "
            f"the second is among the {hard} best by the first.",
            "Give titles and more events, or set training.lm.enabled to false.",
        )
    return [found[at] for at in np.random.default_rng([seed, 7]).permutation(len(found))]


def _retrieved(
    catalogue: Catalogue,
    events: Events,
    count: CountRanker,
    possible: Rows,
    lists: int,
    negatives: int,
    hard: int,
    seed: int,
) -> list[TrainingList]:
    rng = np.random.default_rng([seed, 3])
    order, draw = rng.permutation(possible), _Drawing(catalogue, events, negatives, hard)
    halves = np.asarray([_half(user) for user in events.users], np.int64)
    rankers = [_counting(count, events, halves[events.user] != half) for half in (0, 1)]
    found: list[TrainingList] = []
    size = min(draw.at_once, STEPS_AT_ONCE)
    order = order[: STEPS_A_LIST * lists]
    with progress.stage("candidates to learn from", lists) as stage:
        for start in range(0, len(order), size):
            part = order[start : start + size]
            # Of both halves before any is counted: the steps stand in random order, and so should the lists.
            of_part: dict[int, list[TrainingList]] = {}
            for half, ranker in enumerate(rankers):
                for at, state, signals in draw.signals(ranker, part[halves[events.user[part]] == half]):
                    scores = signals @ ranker.weights[1]
                    best = _best(draw.possible(scores, state), hard)
                    if events.item[at] in best:
                        of_part[at] = draw.list_of(at, state, best, rng, scores)
            found += [one for at in part.tolist() for one in of_part.get(at, ())]
            stage.advance(min(len(found), lists) - stage.done)
            if len(found) >= lists:
                break
    if len(found) < lists:
        progress.note(f"{len(found):,} lists to learn from: so many of {len(order):,} steps are found by counts")
    return found[:lists]


def _of_each_user(
    catalogue: Catalogue, events: Events, count: CountRanker, possible: Rows, negatives: int, hard: int, seed: int
) -> list[TrainingList]:
    chosen, draw = np.sort(_one_each(events, possible, seed)), _Drawing(catalogue, events, negatives, hard)
    found: list[TrainingList] = []
    with progress.stage("candidates to learn from", len(chosen)) as stage:
        for start in range(0, len(chosen), draw.at_once):
            part = chosen[start : start + draw.at_once]
            for at, state, signals in draw.signals(count, part):
                best = _best(signals @ count.weights[1], hard + 1)
                found += draw.list_of(at, state, best, _of_user(events, int(events.user[at]), seed))
            stage.advance(len(part))
    return found


class _Drawing:
    """Makes lists of steps."""

    def __init__(self, catalogue: Catalogue, events: Events, negatives: int, hard: int) -> None:
        self.at_once = max(1, CELLS_AT_ONCE // max(1, len(catalogue)))
        self._events, self._negatives = events, negatives
        self._new = _seen_again(events) <= SEEN_AGAIN
        self._starts = np.searchsorted(events.user, np.arange(len(events.users)))

    def signals(self, count: CountRanker, steps: Rows) -> Iterator[tuple[int, EncodedRequest, Floats]]:
        """Each step, the user's state before it, and the signals of all items then, `[items, signals]`."""
        states = [_state(self._events, self._starts, at) for at in steps.tolist()]
        if states:
            yield from zip(steps.tolist(), states, count.all_signals(states), strict=True)

    def possible(self, scores: Floats, state: EncodedRequest) -> Floats:
        """The scores, -inf for what the user had, where nobody takes an item again."""
        if not self._new:
            return scores
        others = scores.copy()
        others[state.history] = -np.inf
        return others

    def list_of(
        self,
        at: int,
        state: EncodedRequest,
        best: Rows,
        chance: np.random.Generator,
        scores: Floats | None = None,
    ) -> list[TrainingList]:
        """The list of a step; none where there is nothing to tell the right one from."""
        wrong = best[~np.isin(best, _answers(self._events, at))]
        if self._new:
            wrong = wrong[~np.isin(wrong, state.history)]
        drawn = chance.permutation(np.sort(wrong))[: self._negatives]
        if not len(drawn):
            return []
        rows = np.concatenate([[self._events.item[at]], drawn]).astype(np.int64)
        return [TrainingList(state, rows, int(self._events.user[at]), known=None if scores is None else scores[rows])]


def _counting(count: CountRanker, events: Events, chosen: npt.NDArray[np.bool_]) -> CountRanker:
    """The same ranker with counts of some events only; of all where these are none."""
    if not chosen.any():
        progress.note("all users fall into one half: their lists are found by counts that know them")
    some = events.where(chosen) if chosen.any() else events
    return CountRanker.counted(count.catalogue, some, count.config, count.text, count.weights, events.latest)


def _half(user: str) -> int:
    """In which half of the users one is."""
    return hashlib.sha256(user.encode()).digest()[2] % 2


def mark(lists: Sequence[TrainingList]) -> str:
    """Hash of the lists, without their known scores, whose last bits are not the same on all processors."""
    found = hashlib.sha256()
    for one in lists:
        found.update(one.rows.tobytes() + one.request.history.tobytes() + one.request.times.tobytes())
        found.update(b"" if one.teacher is None else one.teacher.tobytes())
    return found.hexdigest()[:16]


def batches(lists: Sequence[TrainingList], size: int, step: int) -> list[TrainingList]:
    """The lists of one step: all lists in turn, over and over."""
    return [lists[at % len(lists)] for at in range(step * size, (step + 1) * size)]


def _possible(catalogue: Catalogue, events: Events) -> Rows:
    """Events that something comes before, that are liked, and whose item has a text."""
    steps = events.steps()
    first = np.flatnonzero(np.diff(events.user, prepend=-1))
    not_first = steps != steps[first][np.searchsorted(first, np.arange(len(steps)), side="right") - 1]
    told = np.fromiter((bool(text) for text in catalogue.texts), bool, len(catalogue))
    return np.flatnonzero(not_first & (events.weight > 0) & told[events.item]).astype(np.int64)


def _one_each(events: Events, possible: Rows, seed: int) -> Rows:
    """One of each user's steps; what other users did changes nothing of it."""
    users, first = np.unique(events.user[possible], return_index=True)
    ends = np.append(first[1:], len(possible))
    chosen = []
    for user, start, end in zip(users.tolist(), first.tolist(), ends.tolist(), strict=True):
        chosen.append(possible[start + int(_of_user(events, user, seed).integers(end - start))])
    return np.asarray(chosen, np.int64)


def _of_user(events: Events, user: int, seed: int) -> np.random.Generator:
    """Chance of a user's own, by the user's id."""
    return np.random.default_rng([seed, *hashlib.sha256(events.users[user].encode()).digest()[:8]])


def _seen_again(events: Events) -> float:
    """Share of the events whose item their user had before."""
    pairs = np.stack([events.user.astype(np.int64), events.item.astype(np.int64)], 1)
    return 1 - len(np.unique(pairs, axis=0)) / max(1, len(events))


def _state(events: Events, starts: Rows, at: int) -> EncodedRequest:
    """The user's state just before the event's step."""
    time = float(events.timestamp[at])
    start = int(starts[events.user[at]])
    end = start + int(np.searchsorted(events.timestamp[start:at], time))
    history = slice(start, end)
    times = events.timestamp[history]
    back = np.concatenate([np.cumsum((np.diff(times) != 0)[::-1])[::-1], [0]]) if len(times) else np.zeros(0)
    types = tuple(events.types[kind] for kind in events.type[history].tolist())
    request = Request(History(), Candidates(()), Context(time))
    rows = events.item[history].astype(np.int64)
    return EncodedRequest(request, rows, types, times, back.astype(np.int64), np.zeros(0, np.int64))


def _answers(events: Events, at: int) -> npt.NDArray[np.int32]:
    """Items of the event's step."""
    time, user = events.timestamp[at], events.user[at]
    low = high = at
    while low > 0 and events.user[low - 1] == user and events.timestamp[low - 1] == time:
        low -= 1
    while high + 1 < len(events) and events.user[high + 1] == user and events.timestamp[high + 1] == time:
        high += 1
    return events.item[low : high + 1]


def _best(scores: Floats, most: int) -> Rows:
    """Best rows, in no particular order."""
    return np.argpartition(-scores, min(most, len(scores) - 1))[:most].astype(np.int64)
