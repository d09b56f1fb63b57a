"""Features of candidates online: NumPy over what a request brings, the snapshot, and the counts of past days.

The columns and their definitions are those of `candidate_features`; `candidates` computes them offline. Work is
proportional to candidates + history x neighbours, whatever the catalogue's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.features.daily import CLICKS, EVENTS, PURCHASES, SHOWN, DailyCounts, day_of
from liverank.features.snapshot import NEVER, PER_UNIT, STEP_UNIT, Neighbours, Settings, Snapshot, micros
from liverank.ranking.protocol import Request

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
DAY_MICROS = 86_400_000_000
_TURN = 2 * 3.141592653589793


class OnlineFeatures:
    """Computes the rows of one request after another; `index` maps the catalogue's ids to rows."""

    def __init__(self, snapshot: Snapshot, index: Mapping[str, int], counts: DailyCounts | None = None) -> None:
        self.snapshot = snapshot
        self.index = index
        self.counts = counts or DailyCounts(snapshot.settings, snapshot.daily)
        self._rates: tuple[Doubles, Doubles] | None = None

    def scaled(self, request: Request) -> npt.NDArray[np.float32]:
        """The features as rankers take them, `[candidates, features]`."""
        return self.snapshot.scaling.apply(self.raw(request))

    def raw(self, request: Request) -> Doubles:
        """The features before capping and scaling, `[candidates, features]`."""
        snapshot, settings = self.snapshot, self.snapshot.settings
        asked = _ask(request, self.index, settings)
        return np.concatenate(
            [
                self._trailing(asked),
                _own(asked, snapshot),
                _alike(asked, snapshot.together, settings)[:, [1, 0, 2]],
                _alike(asked, snapshot.similar, settings)[:, [1, 0, 4, 3, 7, 6]],
                _incoming(request),
                np.broadcast_to(_of_request(request, asked, settings), (len(asked.items), _request_width(settings))),
            ],
            axis=1,
        )

    def _trailing(self, asked: _Asked) -> Doubles:
        day = asked.now // DAY_MICROS
        sums = self.counts.table(day, self.index)
        if self._rates is None or self._rates[0] is not sums:
            self._rates = sums, _rates(sums, self.snapshot.settings.rate_strength)
        # The last row is what is said of items that the catalogue lacks.
        return self._rates[1][np.maximum(asked.items, -1)]


def _rates(sums: Doubles, strength: float) -> Doubles:
    """What `popularity` defines, window by window, `[items + 1, 4 * windows]`; the last row of an item without counts.

    Args:
        sums: `DailyCounts.table`.
        strength: times shown that the common rate weighs.
    """
    all_shown = sums[-1, :, SHOWN]
    own = sums.copy()
    own[-1] = 0

    def rate(answers: int) -> Doubles:
        common = np.divide(sums[-1, :, answers], all_shown, out=np.zeros(len(all_shown)), where=all_shown > 0)
        return np.asarray((own[:, :, answers] + common * strength) / (own[:, :, SHOWN] + strength))

    told = [own[:, :, EVENTS], own[:, :, SHOWN], rate(CLICKS), rate(PURCHASES)]
    return np.stack(told, axis=2).reshape(len(own), -1)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request in rows of the catalogue; ids that it lacks are below 0, equal where the ids are equal."""

    now: int
    """Microseconds."""
    items: Ints
    had: Ints
    """The latest events strictly before now, oldest first."""
    times: Ints
    back: Ints
    """0 for events of the latest instant, 1 for those of the one before, ..."""


def _ask(request: Request, index: Mapping[str, int], settings: Settings) -> _Asked:
    now = micros(request.context.timestamp)
    times = np.rint(np.asarray(request.history.timestamps, np.float64) * 1e6).astype(np.int64)
    # An event of this very instant, or one whose clock runs ahead, is not before the request: offline it is not seen.
    kept = np.flatnonzero(times < now)[-settings.history_length :]
    items, had = _rows(request.candidates.item_ids, request.history.item_ids, index)
    had, times = had[kept], times[kept]
    changes = (np.diff(times) != 0)[::-1]
    back = np.concatenate([np.cumsum(changes)[::-1], [0]])[: len(times)].astype(np.int64)
    return _Asked(now, items, had, times, back)


def _rows(candidates: Any, history: Any, index: Mapping[str, int]) -> tuple[Ints, Ints]:
    strange: dict[str, int] = {}

    def row(item_id: str) -> int:
        found = index.get(item_id)
        return strange.setdefault(item_id, -1 - len(strange)) if found is None else found

    return tuple(np.fromiter(map(row, ids), np.int64, len(ids)) for ids in (candidates, history))  # type: ignore[return-value]


def _own(asked: _Asked, snapshot: Snapshot) -> Doubles:
    """age_days to hour_affinity."""
    known = asked.items >= 0
    safe = np.where(known, asked.items, 0)
    made = np.zeros((len(safe), 8))
    born = np.where(known, snapshot.born[safe], NEVER) if len(snapshot) else np.full(len(safe), NEVER)
    of_age = born <= asked.now
    made[:, 0] = np.where(of_age, (asked.now - np.where(of_age, born, 0)) / DAY_MICROS, 0)
    made[:, 1] = of_age
    _had(asked, made)
    if not len(snapshot):
        return made
    category, band = (np.where(known, column[safe], -1) for column in (snapshot.category, snapshot.price_band))
    past = asked.had[asked.had >= 0]
    made[:, 4] = _share(category, snapshot.category[past], len(snapshot.settings.categories))
    made[:, 5] = _share(band, snapshot.price_band[past], len(snapshot.settings.price_edges) + 1)
    made[:, 6] = band >= 0
    if len(snapshot.affinity):
        hour = asked.now % DAY_MICROS // 3_600_000_000
        made[:, 7] = np.where(category >= 0, snapshot.affinity[np.maximum(category, 0), hour], 0) / PER_UNIT
    return made


def _had(asked: _Asked, made: Doubles) -> None:
    """Fills repeats and recency, columns 2 and 3."""
    if not len(asked.had):
        return
    ids, inverse, counts = np.unique(asked.had, return_inverse=True, return_counts=True)
    latest = np.full(len(ids), np.iinfo(np.int64).min)
    np.maximum.at(latest, inverse, asked.times)
    place = np.minimum(np.searchsorted(ids, asked.items), len(ids) - 1)
    hit = ids[place] == asked.items
    made[:, 2] = np.where(hit, counts[place], 0)
    made[:, 3] = np.where(hit, 1 / (1 + (asked.now - latest[place]) / DAY_MICROS), 0)


def _share(values: Any, past: Any, size: int) -> Doubles:
    past = past[past >= 0]
    if not len(past):
        return np.zeros(len(values))
    if size > 4 * len(past):
        kinds, counts = np.unique(past, return_counts=True)
        place = np.minimum(np.searchsorted(kinds, values), len(kinds) - 1)
        return np.where(kinds[place] == values, counts[place] / len(past), 0)
    share = np.append(np.bincount(past, minlength=size) / len(past), 0)  # the last is for -1
    return np.asarray(share[values], np.float64)


def _alike(asked: _Asked, near: Neighbours, settings: Settings) -> Doubles:
    """For each measure: mean, max and decayed sum over the recent events, `[candidates, 3 * measures]`."""
    measures = near.values.shape[2]
    made = np.zeros((len(asked.items), measures * 3))
    recent = asked.back < settings.last_steps
    events = int(recent.sum())
    inside = recent & (asked.had >= 0)
    if not inside.any() or not near.rows.size or not len(asked.items):
        return made
    had, back = asked.had[inside], asked.back[inside]
    hits, places = _hits(near.rows[had].ravel(), asked.items)
    values = near.values[had].reshape(-1, measures)[hits].astype(np.float64)
    weights = np.repeat(settings.step_weights()[back], near.rows.shape[1])[hits]
    for at in range(measures):
        column, size = values[:, at], len(made)
        made[:, at * 3] = np.bincount(places, column, size) / PER_UNIT / events
        np.maximum.at(made[:, at * 3 + 1], places, column)
        made[:, at * 3 + 1] /= PER_UNIT
        made[:, at * 3 + 2] = np.bincount(places, column * weights, size) / (PER_UNIT * STEP_UNIT)
    return made


def _hits(rows: Any, items: Ints) -> tuple[Ints, Ints]:
    """Which of `rows` are candidates, and the candidate's place for each of those."""
    order = np.argsort(items, kind="stable")
    ordered = items[order]
    place = np.minimum(np.searchsorted(ordered, rows), len(items) - 1)
    hits = np.flatnonzero((ordered[place] == rows) & (rows >= 0))
    return hits, order[place[hits]]


def _incoming(request: Request) -> Doubles:
    scores = request.candidates.scores
    made = np.zeros((len(request.candidates), 3))
    made[:, 0] = np.arange(len(made))
    if scores is not None:
        made[:, 1], made[:, 2] = scores, 1
    return made


def _request_width(settings: Settings) -> int:
    return 5 + len(settings.surfaces) + len(settings.devices)


def _of_request(request: Request, asked: _Asked, settings: Settings) -> Doubles:
    day = day_of(request.context.timestamp)
    of_day = _TURN / 86400.0 * (asked.now % DAY_MICROS / 1e6)
    of_week = _TURN / 7.0 * float((day + 3) % 7)
    device = request.context.attributes.get(settings.device_key, "")
    flags = [float(request.context.surface == name) for name in settings.surfaces]
    flags += [float(device == name) for name in settings.devices]
    times = [np.sin(of_day), np.cos(of_day), np.sin(of_week), np.cos(of_week)]
    return np.asarray([*times, float(len(asked.had)), *flags], np.float64)
