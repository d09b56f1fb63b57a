"""How users browse in the synthetic world: sessions, shown lists, looks, clicks and what follows them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from liverank.data.tastes import NOTHING, Floats, Ints, Tastes, examination, plackett_luce

START_MICROSECONDS: Final = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z."""
SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
MOST_IMPRESSIONS: Final = 80
VIEW, CLICK, CART, PURCHASE = range(4)
HOME, SEARCH, EXPLORE = range(3)


@dataclass
class Answers:
    """What users did with lists: for each event its request (row), item, type and microseconds after the list."""

    row: Ints
    item: Ints
    type: Ints
    delay: Ints
    last: Ints
    """`[requests]`: the item clicked last, or NOTHING."""


@dataclass
class Events:
    """Events of all impressions, in time order."""

    impression: Ints
    item: Ints
    type: Ints
    time: Ints


@dataclass
class Browsing:
    """All impressions in time order (`[n]` and `[n, shown]`) and the events that answer them."""

    user: Ints
    time: Ints
    session: Ints
    surface: Ints
    shown: Ints
    scores: Floats
    propensity: Floats
    events: Events


def answer(rng: np.random.Generator, shown: Ints, attraction: Floats, power: float) -> Answers:
    """Lets users look down their lists: P(click at k) = examination(k) * attraction(item at k).

    Args:
        rng: every chance.
        shown: `[requests, positions]` items, NOTHING where a list is over.
        attraction: `[requests, positions]` chances of a click on what is looked at.
        power: of the examination curve.
    """
    n, wide = shown.shape
    looked = (rng.random((n, wide)) < examination(np.arange(1, wide + 1), power)) & (shown != NOTHING)
    click = looked & (rng.random((n, wide)) < attraction)
    view = looked & ~click & (rng.random((n, wide)) < 0.02 + 0.4 * attraction)
    cart = click & (rng.random((n, wide)) < 0.25)
    purchase = cart & (rng.random((n, wide)) < 0.45)
    rows, items, types, delays = [], [], [], []
    # Position k is reached some 4 k seconds after the list appears; a cart follows a click, a purchase a cart.
    for kind, (happened, base) in enumerate(((view, 1), (click, 2), (cart, 20), (purchase, 45))):
        row, place = np.nonzero(happened)
        rows.append(row)
        items.append(shown[row, place])
        types.append(np.full(len(row), kind))
        delays.append((place * 4 + base) * SECOND + rng.integers(0, SECOND, len(row)))
    deepest = wide - 1 - np.argmax(click[:, ::-1], axis=1)
    last = np.where(click.any(axis=1), shown[np.arange(n), deepest], NOTHING)
    return Answers(np.concatenate(rows), np.concatenate(items), np.concatenate(types), np.concatenate(delays), last)


def browse(tastes: Tastes) -> Browsing:
    """Runs the whole world: every user's impressions in turn, all users at once."""
    settings = tastes.settings
    rng = np.random.default_rng([settings.seed, 7])
    user, time, session = _visits(rng, settings.users, settings.days, settings.impressions_per_user)
    n = len(user)
    surface = np.where(rng.random(n) < settings.explore_share, EXPLORE, np.where(rng.random(n) < 0.7, HOME, SEARCH))
    day = (time - START_MICROSECONDS) / DAY
    regime = (day >= settings.drift_at).astype(np.int64) if settings.drift_at is not None else np.zeros(n, np.int64)
    result = Browsing(
        user,
        time,
        session,
        surface,
        shown=np.full((n, settings.shown), NOTHING),
        scores=np.zeros((n, settings.shown)),
        propensity=np.zeros((n, settings.shown)),
        events=_none(),
    )
    last = np.full(settings.users, NOTHING)
    first = np.searchsorted(user, np.arange(settings.users))
    turn = np.arange(n) - first[user]
    by_turn = np.argsort(turn, kind="stable")
    edges = np.searchsorted(turn[by_turn], np.arange(turn.max() + 2))
    parts = []
    for begin, end in pairwise(edges):
        rows = by_turn[begin:end]
        for phase in (0, 1):
            now = rows[regime[rows] == phase]
            if len(now):
                parts.append(_turn(rng, tastes, result, now, last, day, phase))
    result.events = Events(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return _in_time_order(result)


def _turn(
    rng: np.random.Generator, tastes: Tastes, result: Browsing, rows: Ints, last: Ints, day: Floats, regime: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """One impression each for the users of `rows`; updates what they clicked last."""
    users = result.user[rows]
    intent = tastes.intent(rng, users, last[users], regime)
    items, scores = tastes.propose(rng, intent, day[rows], regime, tastes.settings.shown)
    explores = (result.surface[rows] == EXPLORE)[:, None]
    drawn_by = np.where(explores & np.isfinite(scores), 0.0, scores)
    order, propensity = plackett_luce(rng, drawn_by)
    shown = np.take_along_axis(items, order, axis=1)
    result.shown[rows] = shown
    result.scores[rows] = np.take_along_axis(scores, order, axis=1)
    result.propensity[rows] = propensity
    answers = answer(rng, shown, tastes.attraction(intent, shown, regime), tastes.settings.position_power)
    last[users] = np.where(answers.last == NOTHING, last[users], answers.last)
    impression = rows[answers.row]
    return impression, answers.item, answers.type, result.time[impression] + answers.delay


def _none() -> Events:
    nothing = np.empty(0, np.int64)
    return Events(nothing, nothing, nothing, nothing)


def _visits(rng: np.random.Generator, users: int, days: int, mean: float) -> tuple[Ints, Ints, Ints]:
    """User, time and session of each impression, by user and time."""
    count = np.clip(1 + np.floor(rng.gamma(0.8, max(mean - 0.5, 0.1) / 0.8, users)), 1, MOST_IMPRESSIONS).astype(int)
    user = np.repeat(np.arange(users), count)
    n = len(user)
    starts_user = np.r_[True, user[1:] != user[:-1]]
    starts_session = starts_user | (rng.random(n) < 0.4)
    session = np.cumsum(starts_session) - 1
    owner = user[starts_session]
    begin = _session_starts(rng, owner, days)
    gap = np.where(starts_session, 0, rng.integers(130 * SECOND, 360 * SECOND, n))
    since = np.cumsum(gap)
    since -= since[np.flatnonzero(starts_session)][session]
    return user, begin[session] + since, session


def _session_starts(rng: np.random.Generator, owner: Ints, days: int) -> Ints:
    """Start of each session: some users arrive late, nobody's sessions overlap, evenings are busier than nights."""
    arrival = np.random.default_rng(rng.integers(1 << 31)).uniform(0, 0.8, owner.max() + 1) ** 2
    share = arrival[owner] + (1 - arrival[owner]) * rng.random(len(owner))
    share = share[np.lexsort((share, owner))]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    total = np.bincount(owner)[owner]
    # Three hours between the sessions of one user; the rest of the time is shared out at random.
    pause = min(3 / 24, days / (2 * MOST_IMPRESSIONS))
    day = share * (days - 0.1 - pause * total) + pause * place
    whole = np.floor(day)
    # Time of day u is warped to u + sin(2 pi u) / 9: fewer events before noon, more in the evening.
    hour = day - whole
    warped = hour - np.sin(2 * np.pi * hour) / 9
    return START_MICROSECONDS + ((whole + warped) * DAY).astype(np.int64)


def _in_time_order(result: Browsing) -> Browsing:
    order = np.argsort(result.time, kind="stable")
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    event = result.events
    when = np.lexsort((event.type, event.item, event.time))
    events = Events(number[event.impression][when], event.item[when], event.type[when], event.time[when])
    return Browsing(
        result.user[order],
        result.time[order],
        result.session[order],
        result.surface[order],
        result.shown[order],
        result.scores[order],
        result.propensity[order],
        events,
    )
