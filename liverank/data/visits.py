"""When users of the synthetic world come: how often, sessions, seasons, and arrivals."""

from __future__ import annotations

from typing import Final

import numpy as np

from liverank.data.catalogue import Flags, Floats, Ints
from liverank.data.looking import SECOND, list_seconds
from liverank.data.synthetic_settings import SyntheticSettings

START_MICROSECONDS: Final = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z, a Thursday."""
DAY: Final = 86_400 * SECOND
PAUSE: Final = 3 / 24
"""Days between two sessions of a user before the seasons bend time."""


def visits(rng: np.random.Generator, settings: SyntheticSettings, bots: Flags) -> tuple[Ints, Ints, Ints]:
    """User, time and session of each list of users who are no crawlers, by user and time.

    Args:
        rng: every chance.
        settings: of the world.
        bots: `[users]` who is a crawler and has no visits here.
    """
    count = np.where(bots, 0, _lists(rng, settings, len(bots)))
    user = np.repeat(np.arange(len(bots)), count)
    n = len(user)
    starts_user = np.r_[True, user[1:] != user[:-1]][:n]
    starts_session = starts_user | (rng.random(n) < 1 / settings.session_lists)
    session = np.cumsum(starts_session) - 1
    # The next list appears when everything that answers this one has happened.
    shortest = list_seconds(settings)
    gap = np.zeros(n, np.int64)
    begin = _session_starts(rng, settings, user[starts_session]) if n else np.zeros(0, np.int64)
    gap = np.where(starts_session, 0, rng.integers(shortest * SECOND, (shortest + 230) * SECOND, n))
    since = np.cumsum(gap)
    since -= since[np.flatnonzero(starts_session)][session]
    return user, _apart(begin, since, user, session, shortest * SECOND), session


def _lists(rng: np.random.Generator, settings: SyntheticSettings, users: int) -> Ints:
    least, spread = settings.least_impressions, settings.activity_spread
    # The whole part of what is drawn is half a list less on average.
    mean = max(settings.impressions_per_user - least + 0.5, 0.1)
    if settings.activity == "gamma":
        drawn = rng.gamma(spread, mean / spread, users)
    else:
        drawn = np.exp(rng.normal(np.log(mean) - spread**2 / 2, spread, users))
    return np.clip(least + np.floor(drawn), least, settings.most_impressions).astype(np.int64)


def _session_starts(rng: np.random.Generator, settings: SyntheticSettings, owner: Ints) -> Ints:
    """Start of each session: some users arrive late, and seasons make some days and hours busier than others."""
    users = int(owner.max()) + 1
    arrivals = np.random.default_rng(rng.integers(1 << 31))
    arrival = arrivals.uniform(0, settings.last_arrival, users) ** settings.arrival_power
    if settings.new_users < 1:
        arrival = np.where(arrivals.random(users) < settings.new_users, arrival, 0)
    share = arrival[owner] + (1 - arrival[owner]) * rng.random(len(owner))
    share = share[np.lexsort((share, owner))]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    total = np.bincount(owner)[owner]
    # Three hours between the sessions of one user; the rest of the time is shared out at random.
    pause = np.minimum(PAUSE, settings.days / (2 * np.maximum(total, settings.most_impressions)))
    day = share * (settings.days - 0.1 - pause * total) + pause * place
    return START_MICROSECONDS + (seasons(settings, day) * DAY).astype(np.int64)


def seasons(settings: SyntheticSettings, day: Floats) -> Floats:
    """Bends even time so that it passes slowly, and much happens, in the seasons that are busy."""
    if settings.week_season or settings.year_season:
        grid = np.arange(0, settings.days + 1 / 48, 1 / 24)
        busy = np.concatenate([[0.0], np.cumsum(intensity(settings, (grid[1:] + grid[:-1]) / 2))])
        day = np.interp(day, busy / busy[-1] * grid[-1], grid)
    whole = np.floor(day)
    # Time of day u is bent to u + sin(2 pi u) / 9: fewer events before noon, more in the evening.
    hour = day - whole
    return np.asarray(whole + (hour - settings.day_season * np.sin(2 * np.pi * hour) / 9))


def intensity(settings: SyntheticSettings, day: Floats) -> Floats:
    """How busy days are by week and year: weekends are 1 + w, the others 1 - 0.4 w; the year is a cosine with its top
    in the middle of December."""
    weekday = (np.floor(day) + 3) % 7
    week = np.where(weekday >= 5, 1 + settings.week_season, 1 - 0.4 * settings.week_season)
    return np.asarray(week * (1 + settings.year_season * np.cos(2 * np.pi * (day - 348) / 365.25)))


def _apart(begin: Ints, since: Ints, user: Ints, session: Ints, least: int) -> Ints:
    """Times of the lists, sessions pushed on where one would begin before its user's last has ended."""
    time = begin[session] + since
    close = (user[1:] == user[:-1]) & (np.diff(time) < least)
    if not close.any():
        return time
    owners = np.unique(user[1:][close])
    for one in owners:
        here = slice(*np.searchsorted(user, [one, one + 1]))
        # Each list at its time or `least` after the one before, whichever is later.
        steps = least * np.arange(here.stop - here.start)
        time[here] = np.maximum.accumulate(time[here] - steps) + steps
    return time
