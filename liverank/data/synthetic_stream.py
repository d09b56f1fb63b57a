"""The synthetic world as a stream of tables in canonical order, in bounded memory.

Users are generated a cohort at a time and kept aside as plain arrays in time order; windows of time are then read
across all cohorts, numbered and turned into rows. A seed gives the same rows however many processes generate.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from liverank.data.audience import Audience, cohorts
from liverank.data.browsing import browse
from liverank.data.catalogue import Catalogue, Ints
from liverank.data.dataset import ordered
from liverank.data.dirt import Dirt
from liverank.data.synthetic_settings import SyntheticSettings
from liverank.data.synthetic_tables import (
    devices,
    digits,
    ids,
    impressions_table,
    interactions_table,
    item_ids,
    items_table,
    user_ids,
    users_table,
)
from liverank.data.tastes import Tastes
from liverank.data.visits import START_MICROSECONDS
from liverank.progress import stage

_LINES_AT_ONCE: Final = 3_000_000
"""Lines of shown lists in one window of time."""
IMPRESSION: Final = ("user", "time", "session", "surface", "shown", "scores", "propensity")
EVENT: Final = ("impression", "item", "type", "time")
Rows = tuple[str, pa.Table]


def stream(settings: SyntheticSettings, aside: Path, dirt: Dirt, processes: int = 1) -> Iterator[Rows]:
    """The name of a table and its next rows, table by table and in each one's canonical order.

    Impressions and interactions come interleaved: each is in order by itself.

    Args:
        settings: of the world.
        aside: an empty folder for what is kept while it runs: some 700 bytes an impression.
        dirt: makes and counts what is broken; its rejected rows are its own.
        processes: that generate users at the same time.
    """
    catalogue = Catalogue(settings)
    device = devices(settings, settings.users)
    items = items_table(catalogue)
    yield "items", ordered(dirt.items(items), "items") if dirt.any else items
    groups = cohorts(settings)
    for first, count in groups:
        yield "users", users_table(settings, first, device[first : first + count])
    _generate(settings, aside, processes)
    yield from _Merge(settings, aside, dirt, device).rows()


def _generate(settings: SyntheticSettings, aside: Path, processes: int) -> None:
    numbers = range(len(cohorts(settings)))
    with stage("users browse", total=len(numbers)) as progress:
        if min(processes, len(numbers)) < 2:
            catalogue = Catalogue(settings)
            for number in numbers:
                _keep(settings, catalogue, aside, number)
                progress.advance()
            return
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for _ in pool.map(_generate_one, [settings] * len(numbers), [aside] * len(numbers), numbers):
                progress.advance()


def _generate_one(settings: SyntheticSettings, aside: Path, number: int) -> None:
    _keep(settings, Catalogue(settings), aside, number)


def _keep(settings: SyntheticSettings, catalogue: Catalogue, aside: Path, number: int) -> None:
    browsing = browse(Tastes(settings, catalogue, Audience(settings, [cohorts(settings)[number]])))
    for name in IMPRESSION:
        np.save(aside / f"{number}-{name}.npy", _compact(getattr(browsing, name), name))
    for name in EVENT:
        np.save(aside / f"{number}-event-{name}.npy", _compact(getattr(browsing.events, name), name))


def _compact(values: np.ndarray, name: str) -> np.ndarray:
    return values.astype(np.int32) if values.dtype == np.int64 and name != "time" else values


class _Merge:
    """Cuts time into windows and reads each across all cohorts."""

    def __init__(self, settings: SyntheticSettings, aside: Path, dirt: Dirt, device: Ints) -> None:
        self._settings, self._aside, self._dirt, self._device = settings, aside, dirt, device
        self._firsts = [first for first, _ in cohorts(settings)]
        self._times = [self._load(n, "time") for n in range(len(self._firsts))]
        self._event_times = [self._load(n, "event-time") for n in range(len(self._firsts))]
        self._sessions = np.cumsum(
            [0] + [int(self._load(n, "session").max(initial=-1)) + 1 for n in range(len(self._firsts))]
        )
        self._number = [np.zeros(len(times), np.int32) for times in self._times]
        """By cohort: the number of each of its impressions in the whole world."""
        self._items = item_ids(np.arange(settings.items), settings)

    def _load(self, cohort: int, name: str) -> np.ndarray:
        return np.load(self._aside / f"{cohort}-{name}.npy", mmap_mode="r")

    def rows(self) -> Iterator[Rows]:
        """Impressions and interactions, window by window, then what is dated ahead of all."""
        impressions, events = sum(map(len, self._times)), sum(map(len, self._event_times))
        self._wide = {"imp": digits(impressions, 7), "event": digits(events, 8)}
        windows = max(1, impressions * self._settings.shown // _LINES_AT_ONCE)
        last = max(int(times[-1]) for times in [*self._times, *self._event_times] if len(times))
        edges = np.linspace(START_MICROSECONDS, last + 1, windows + 1).astype(np.int64)
        lists = happened = 0
        with stage("rows in time order", total=impressions) as progress:
            for begin, end in itertools.pairwise(edges):
                table = self._impressions(begin, end, lists)
                lists += table.num_rows
                yield "impressions", self._soiled("impressions", table, lists - table.num_rows)
                progress.advance(table.num_rows)
                table = self._interactions(begin, end, happened)
                happened += table.num_rows
                yield "interactions", self._soiled("interactions", table, happened - table.num_rows)
        for table in self._dirt.ahead:
            yield "interactions", table

    def _soiled(self, name: str, table: pa.Table, first: int) -> pa.Table:
        if not self._dirt.any:
            return table
        soil = self._dirt.impressions if name == "impressions" else self._dirt.interactions
        return ordered(soil(table, first + np.arange(table.num_rows)), name)

    def _window(self, times: list[np.ndarray], begin: int, end: int, names: dict[str, str]) -> dict[str, np.ndarray]:
        """The window's rows of all cohorts, cohort after cohort; `names` maps columns to files."""
        places = [np.searchsorted(each, [begin, end]) for each in times]
        cut = {
            column: np.concatenate([self._load(n, file)[a:b] for n, (a, b) in enumerate(places)])
            for column, file in names.items()
        }
        cut["cohort"] = np.repeat(np.arange(len(times)), [b - a for a, b in places])
        cut["place"] = np.concatenate([np.arange(a, b) for a, b in places])
        return cut

    def _impressions(self, begin: int, end: int, first: int) -> pa.Table:
        cut = self._window(self._times, begin, end, {name: name for name in IMPRESSION})
        order = np.argsort(cut["time"], kind="stable")
        cut = {name: values[order] for name, values in cut.items()}
        numbers = first + np.arange(len(order))
        for cohort in np.unique(cut["cohort"]):
            here = cut["cohort"] == cohort
            self._number[cohort][cut["place"][here]] = numbers[here]
        users = cut["user"] + np.asarray(self._firsts)[cut["cohort"]]
        cut["session"] = cut["session"] + self._sessions[cut["cohort"]]
        names = ids("imp", numbers, self._wide["imp"])
        return impressions_table(names, user_ids(users, self._settings), self._device[users], cut, self._items)

    def _interactions(self, begin: int, end: int, first: int) -> pa.Table:
        cut = self._window(self._event_times, begin, end, {name: f"event-{name}" for name in EVENT})
        order = np.lexsort((cut["type"], cut["item"], cut["time"]))
        cut = {name: values[order] for name, values in cut.items()}
        n = len(order)
        users, sessions, numbers = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
        for cohort in np.unique(cut["cohort"]):
            here = cut["cohort"] == cohort
            impression = cut["impression"][here]
            users[here] = self._load(cohort, "user")[impression] + self._firsts[cohort]
            sessions[here] = self._load(cohort, "session")[impression] + self._sessions[cohort]
            numbers[here] = self._number[cohort][impression]
        cut["session"] = sessions
        names = ids("event", first + np.arange(n), self._wide["event"])
        lists = ids("imp", numbers, self._wide["imp"])
        return interactions_table(names, user_ids(users, self._settings), self._device[users], lists, cut, self._items)
