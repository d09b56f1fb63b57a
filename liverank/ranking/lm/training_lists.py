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

    Args:
        catalogue: of the events' items.
        events: the training events.
        count: ranks all items for each state; negatives are drawn from its best.
        lists: how many at most.
        negatives: of each list, where there are so many.
        hard: of how many best items they are drawn.
        seed: of the draws.
        one_each: draw one step of each user, with chance that no other user has a part in; `lists` is no limit then.

    Raises:
        DataError: there is no step that something comes before, of an item with a text.
    """
    rng = np.random.default_rng([seed, 3])
    possible = _possible(catalogue, events)
    chosen = np.sort(_one_each(events, possible, seed) if one_each else rng.permutation(possible)[:lists])
    again = _seen_again(events)
    starts = np.searchsorted(events.user, np.arange(len(events.users)))
    at_once = max(1, CELLS_AT_ONCE // max(1, len(catalogue)))
    found: list[TrainingList] = []
    with progress.stage("candidates to learn from", len(chosen)) as stage:
        for start in range(0, len(chosen), at_once):
            part = chosen[start : start + at_once]
            states = [_state(events, starts, at) for at in part.tolist()]
            best = _best(count, states, hard + 1)
            for at, state, ranked in zip(part.tolist(), states, best, strict=True):
                wrong = ranked[~np.isin(ranked, _answers(events, at))]
                if again <= SEEN_AGAIN:
                    wrong = wrong[~np.isin(wrong, state.history)]
                chance = _of_user(events, int(events.user[at]), seed) if one_each else rng
                drawn = chance.permutation(np.sort(wrong))[:negatives]
                if len(drawn):
                    found.append(
                        TrainingList(
                            state, np.concatenate([[events.item[at]], drawn]).astype(np.int64), int(events.user[at])
                        )
                    )
            stage.advance(len(part))
    if not found:
        raise DataError(
            "The language model has nothing to learn from: no user has two steps with items that have texts.",
            "Give titles, or set training.lm.enabled to false.",
        )
    return [found[at] for at in rng.permutation(len(found))]


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


def _best(count: CountRanker, states: Sequence[EncodedRequest], most: int) -> Iterator[Rows]:
    """Best rows of each state, in no particular order."""
    for signals in count.all_signals(states):
        scores = signals @ count.weights[1]
        yield np.argpartition(-scores, min(most, len(scores) - 1))[:most]
