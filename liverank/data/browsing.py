"""How users browse in the synthetic world: lists shown in turn, and what each answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from liverank.data.catalogue import NOTHING, Floats, Ints
from liverank.data.looking import CLICK, SECOND, answer
from liverank.data.tastes import Intent, State, Tastes, plackett_luce
from liverank.data.visits import DAY, START_MICROSECONDS, visits

HOME, SEARCH, EXPLORE = range(3)
SURFACES: Final = ("home", "search", "explore")


@dataclass
class Events:
    """Events of all impressions, in time order."""

    impression: Ints
    item: Ints
    type: Ints
    time: Ints


@dataclass
class Browsing:
    """All impressions in time order (`[n]` and `[n, shown]`) and the events that answer them.

    `user` is the place in the audience; `attraction` the hidden chance of a click on what is looked at.
    """

    user: Ints
    time: Ints
    session: Ints
    surface: Ints
    shown: Ints
    scores: Floats
    propensity: Floats
    attraction: Floats
    events: Events = field(default_factory=lambda: Events(*(np.empty(0, np.int64) for _ in range(4))))


def browse(tastes: Tastes) -> Browsing:
    """Everything that the users of one audience do, crawlers at the end of each moment."""
    settings, audience = tastes.settings, tastes.audience
    seeds = [settings.seed, 7, *([audience.first] if audience.first else [])]
    rng = np.random.default_rng(seeds)
    user, time, session = visits(rng, settings, audience.bots)
    n = len(user)
    surface = np.where(rng.random(n) < settings.explore_share, EXPLORE, np.where(rng.random(n) < 0.7, HOME, SEARCH))
    shape = (n, settings.shown)
    result = Browsing(
        user, time, session, surface, np.full(shape, NOTHING), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    )
    parts = _every_turn(rng, tastes, result)
    if audience.bots.any():
        parts.append(_crawl(np.random.default_rng([*seeds, 0, 1]), tastes, result))
    result.events = Events(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return _in_time_order(result)


def _every_turn(rng: np.random.Generator, tastes: Tastes, result: Browsing) -> list[tuple[Ints, Ints, Ints, Ints]]:
    """The lists of all users, everybody's first before anybody's second."""
    n = len(result.user)
    nothing = np.empty(0, np.int64)
    parts = [(nothing, nothing, nothing, nothing)]
    if not n:
        return parts
    day = (result.time - START_MICROSECONDS) / DAY
    regime = tastes.catalogue.regime(day)
    state = State(len(tastes.audience))
    turn = np.arange(n) - np.searchsorted(result.user, result.user)
    by_turn = np.argsort(turn, kind="stable")
    edges = np.searchsorted(turn[by_turn], np.arange(turn.max() + 2))
    for begin, end in pairwise(edges):
        rows = by_turn[begin:end]
        for phase in (0, 1):
            now = rows[regime[rows] == phase]
            if len(now):
                parts.append(_turn(rng, tastes, result, now, state, day[now], phase))
    return parts


def _turn(
    rng: np.random.Generator, tastes: Tastes, result: Browsing, rows: Ints, state: State, day: Floats, regime: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """One impression each for the users of `rows`; updates what they clicked."""
    users = result.user[rows]
    intent = tastes.intent(rng, users, day, state, regime)
    explores = result.surface[rows] == EXPLORE
    shown, scores, propensity = show(rng, tastes, intent, explores, regime)
    attraction = tastes.attraction(intent, shown, regime)
    result.shown[rows], result.scores[rows], result.propensity[rows] = shown, scores, propensity
    result.attraction[rows] = attraction
    answers = answer(rng, shown, attraction, tastes.settings)
    state.remember(users[answers.clicks[0]], answers.clicks[1])
    impression = rows[answers.row]
    return impression, answers.item, answers.type, result.time[impression] + answers.delay


def show(
    rng: np.random.Generator, tastes: Tastes, intent: Intent, explores: np.ndarray, regime: int
) -> tuple[Ints, Floats, Floats]:
    """The shown lists with scores and propensities: a Plackett-Luce draw by score, even where users explore."""
    items, scores = tastes.propose(rng, intent, regime, tastes.settings.shown)
    drawn_by = np.where(explores[:, None] & np.isfinite(scores), 0.0, scores)
    order, propensity = plackett_luce(rng, drawn_by)
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1), propensity


def _crawl(rng: np.random.Generator, tastes: Tastes, result: Browsing) -> tuple[Ints, Ints, Ints, Ints]:
    """Crawlers page through the catalogue and open every item, at even gaps, in one session; appended to `result`."""
    settings, world = tastes.settings, tastes.catalogue
    who = np.flatnonzero(tastes.audience.bots)
    user, turn = np.repeat(who, settings.bot_lists), np.tile(np.arange(settings.bot_lists), len(who))
    wide = min(settings.shown, settings.items)
    pause = int(settings.bot_seconds * SECOND)
    longest = settings.bot_lists * wide * pause
    begin = rng.integers(0, max(settings.days * DAY - longest, 1), len(who))
    time = START_MICROSECONDS + np.repeat(begin, settings.bot_lists) + turn * wide * pause
    start = np.repeat(rng.integers(0, settings.items, len(who)), settings.bot_lists)
    pages = (start[:, None] + turn[:, None] * wide + np.arange(wide)) % settings.items
    launched = world.launch[pages] <= ((time - START_MICROSECONDS) / DAY)[:, None]
    shown = np.full((len(user), settings.shown), NOTHING)
    shown[:, :wide] = np.where(launched, pages, NOTHING)
    # What has not appeared yet leaves no gap in the page.
    shown = np.take_along_axis(shown, np.argsort(shown == NOTHING, axis=1, kind="stable"), axis=1)
    first, there = len(result.user), shown != NOTHING
    row, place = np.nonzero(there)
    _append(result, user, time, turn, shown)
    kept = "click" in settings.logged
    row, place = (row, place) if kept else (row[:0], place[:0])
    return first + row, shown[row, place], np.full(len(row), CLICK), time[row] + place * pause + pause // 2


def _append(result: Browsing, user: Ints, time: Ints, turn: Ints, shown: Ints) -> None:
    sessions = int(result.session.max(initial=-1)) + np.cumsum(turn == 0)
    even = np.where(shown == NOTHING, 0.0, 1.0)
    result.user, result.time = np.r_[result.user, user], np.r_[result.time, time]
    result.session = np.r_[result.session, sessions]
    result.surface = np.r_[result.surface, np.full(len(user), SEARCH)]
    result.shown = np.vstack([result.shown, shown])
    result.scores = np.vstack([result.scores, np.where(shown == NOTHING, -np.inf, 0.0)])
    result.propensity = np.vstack([result.propensity, even])
    result.attraction = np.vstack([result.attraction, even])


def _in_time_order(result: Browsing) -> Browsing:
    order = np.argsort(result.time, kind="stable")
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    event = result.events
    when = np.lexsort((event.type, event.item, event.time))
    events = Events(number[event.impression][when], event.item[when], event.type[when], event.time[when])
    return Browsing(
        user=result.user[order],
        time=result.time[order],
        session=result.session[order],
        surface=result.surface[order],
        shown=result.shown[order],
        scores=result.scores[order],
        propensity=result.propensity[order],
        attraction=result.attraction[order],
        events=events,
    )
