"""The one writer of the live store in this process: many requests' records share a commit."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from liverank.errors import ServingError, StoreError
from liverank.events import Record
from liverank.store import LiveStore
from serving.calls import REQUEST_ID, concerning
from serving.troubles import Troubles

RETRY_SECONDS = 1.0
"""How long impressions wait for a store that cannot write, before they are tried again."""
LINGER_SECONDS = 0.05
"""How long impressions may wait for others, so that a busy server does not flush the disk for each."""
RECORDS_IN_A_COMMIT = 2000
MOST_NAMED = 16
"""Requests that a line about a commit names; it may have failed for thousands."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    records: Callable[[], Sequence[Record]]
    answer: Callable[[int | Exception], None] | None
    request_id: str


class LogWriter:
    """Appends in the order of arrival from a thread of its own.

    `write` waits until its records are on disk; `note` (impressions) does not, and refuses when `bound` notes wait, or
    when the store could not write the last time. What was noted before that is kept, and written once the store can.
    """

    def __init__(self, store: LiveStore, bound: int, on_dropped: Callable[[int], None]) -> None:
        self._store = store
        self._bound = bound
        self._on_dropped = on_dropped
        self._entries: deque[_Entry] = deque()
        self._notes = 0
        self._changed = threading.Condition()
        self._urgent = False
        self._closing = False
        self._failing = False
        self._troubles = Troubles()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def alive(self) -> bool:
        """Whether records still reach the store."""
        return self._thread.is_alive() and not self._closing

    async def write(self, records: Sequence[Record]) -> int:
        """How many of `records` were new, once they are on disk.

        Raises:
            StoreError: the store cannot write; none was written.
            DataError: the store cannot take one of them; none was written.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()

        def answer(outcome: int | Exception) -> None:
            loop.call_soon_threadsafe(_settle, future, outcome)

        with self._changed:
            if self._closing:
                raise ServingError("The server is stopping.")
            self._entries.append(_Entry(lambda: records, answer, REQUEST_ID.get()))
            self._urgent = True
            self._changed.notify()
        return await future

    def note(self, record: Callable[[], Record]) -> bool:
        """Queues a record that `record` makes in the writer's thread; False, and counted, when that is refused."""
        with self._changed:
            if self._closing or self._failing or self._notes >= self._bound:
                self._on_dropped(1)
                return False
            self._notes += 1
            self._entries.append(_Entry(lambda: (record(),), None, REQUEST_ID.get()))
            if len(self._entries) == 1:
                self._changed.notify()
            return True

    def close(self) -> None:
        """Writes everything that waits, as far as the store can, then ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (entries := self._take()) is not None:
            self._commit(entries)
            # An entry knows the answer, and that the model: neither may stay in memory until the next one comes.
            del entries

    def _take(self) -> list[_Entry] | None:
        """What is to be written next; nothing to see whether the store can write again; None at the end."""
        with self._changed:
            while not self._entries and not self._closing and not self._failing:
                self._changed.wait()
            if not self._urgent and not self._closing:
                seconds = RETRY_SECONDS if self._failing else LINGER_SECONDS
                self._changed.wait_for(lambda: self._urgent or self._closing, seconds)
            if self._closing and not self._entries:
                return None
            entries = [self._entries.popleft() for _ in range(min(len(self._entries), RECORDS_IN_A_COMMIT))]
            self._notes -= sum(entry.answer is None for entry in entries)
            self._urgent = any(entry.answer for entry in self._entries)
            return entries

    def _commit(self, entries: Sequence[_Entry]) -> None:
        try:
            counts: Sequence[int | Exception] = self._store.append_batches([entry.records() for entry in entries])
        except StoreError as problem:
            with concerning(_named(entries)):
                self._troubles.say(problem)
            self._keep([entry for entry in entries if entry.answer is None])
            counts = [problem] * len(entries)
        except Exception as problem:  # noqa: BLE001  handed to the callers, who wait for it
            if len(entries) > 1:
                # One bad append must not take its neighbours down.
                for entry in entries:
                    self._commit([entry])
                return
            with concerning([entries[0].request_id]):
                _log.exception("The live store refused an append.")
            counts = [problem]
            self._on_dropped(sum(entry.answer is None for entry in entries))
        else:
            self._failing = False
        for entry, count in zip(entries, counts, strict=True):
            if entry.answer is not None:
                entry.answer(count)

    def _keep(self, notes: Sequence[_Entry]) -> None:
        """Puts notes back at the head of the queue; at the end they are lost, and counted."""
        with self._changed:
            self._failing = True
            if self._closing:
                self._on_dropped(len(notes))
                return
            self._entries.extendleft(reversed(notes))
            self._notes += len(notes)


def _named(entries: Sequence[_Entry]) -> list[str]:
    """Ids of the requests behind a commit: first of those that wait for it, which it refuses."""
    waiting_first = sorted(entries, key=lambda entry: entry.answer is None)
    return list(dict.fromkeys(entry.request_id for entry in waiting_first if entry.request_id))[:MOST_NAMED]


def _settle(future: asyncio.Future[int], outcome: int | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
