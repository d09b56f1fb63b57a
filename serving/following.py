"""Follows the live log, so that the counts of past days that a model uses are those of the log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from liverank.errors import LiverankError
from liverank.features.daily import DAY_SECONDS, DailyCounts, day_of
from liverank.store import LiveStore

POLL_SECONDS = 5.0
"""Between looks: a day's log is read as it grows, so that midnight costs the first request a few seconds of it."""

_log = logging.getLogger(__name__)


class LogFollower:
    """Adds every record of the log to one model's counts, in a thread of its own and whenever a day begins."""

    def __init__(self, store: LiveStore, counts: DailyCounts) -> None:
        self._store = store
        self._counts = counts
        # A day sooner: a record may be dated a little after its arrival, and counts on the later of both.
        self._cursor = store.cursor_before((counts.settings.counted_until - 1) * DAY_SECONDS)
        self._day = 0
        self._reading = threading.Lock()
        self._stopped = threading.Event()
        self.catch_up()
        self._thread = threading.Thread(target=self._run, name="log-follower", daemon=True)
        self._thread.start()

    def behind(self, timestamp: float) -> bool:
        """Whether the log has to be read before the days before this instant's are counted."""
        return day_of(timestamp) > self._day

    def reach(self, timestamp: float) -> None:
        """Makes sure that the days before this instant's are wholly counted, as far as the log holds them."""
        if self.behind(timestamp):
            day = day_of(timestamp)
            self.catch_up()
            self._counts.forget_before(day)
            self._day = day

    def catch_up(self) -> None:
        """Counts what the log has gained."""
        with self._reading:
            for cursor, arrived, record in self._store.export_arrivals(self._cursor):
                self._counts.add(record, arrived)
                self._cursor = cursor

    def close(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            try:
                self.catch_up()
            except LiverankError as problem:
                _log.warning("The live log cannot be followed; the counts of past days stay as they are: %s", problem)


def follow(store: LiveStore, rankers: Mapping[str, Any]) -> LogFollower | None:
    """A follower for a bundle's feature ranker; None where it has none."""
    ranker = rankers.get("features")
    return None if ranker is None else LogFollower(store, ranker.counts)
