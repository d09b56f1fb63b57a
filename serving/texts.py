"""Texts of items that the model has not met: encoded before the list is queued, on a thread of their own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from liverank.ranking.protocol import Candidates, Scores
from serving.batching import QueueFullError
from serving.discretion import without_content
from serving.metrics import Metrics
from serving.model import ServedBundle
from serving.stages import TEXTS

_log = logging.getLogger(__name__)


class TextEncoding:
    """Has the encoder remember a list's new texts, so that the model's thread, which all lists share, only looks them
    up; at most `most` texts a list and `waiting` lists at once.
    """

    def __init__(self, most: int, waiting: int, metrics: Metrics) -> None:
        self._metrics = metrics
        self._most = most
        self._waiting = waiting
        self._open = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="texts")

    async def encoded(
        self, bundle: ServedBundle, candidates: Candidates, deadline: float | None = None
    ) -> tuple[Candidates, tuple[str, ...]]:
        """The candidates with the texts that are ready for scoring, and what is missing.

        Args:
            bundle: reads the texts.
            candidates: as they came.
            deadline: of the whole ranking, on the clock of `time.perf_counter`: half of what is left is the texts'.

        Raises:
            QueueFullError: too many lists wait for their texts.
        """
        read, unread = told_of_new(bundle, candidates)
        if not read and not unread:
            return candidates, ()
        self._metrics.looked_up("texts", len(read), 0)
        ready = unread[: self._most]
        left = None if deadline is None else max(0.0, deadline - time.perf_counter()) / 2
        if ready and not await self._remember(bundle, [candidates.texts[item] for item in ready], left):
            ready = []
        lacking = len(unread) - len(ready)
        why = (f"texts: {lacking} candidates were scored without their text",) if lacking else ()
        # Those that this model knows stay too: the one that scores may be its successor, and not know them.
        return without_texts(candidates, set(unread).difference(ready)), why

    async def matched(self, bundle: ServedBundle, query: str, candidates: Candidates) -> tuple[Scores | None, int]:
        """How close each candidate's text lies to a query, `[candidates]`, None where the encoder fails; and how many
        candidates were compared without their text.

        Raises:
            QueueFullError: too many lists wait for their texts.
        """
        ready, _ = await self.encoded(bundle, candidates)
        lacking = len(candidates.texts) - len(ready.texts)
        found: list[Scores] = []
        began = time.perf_counter()
        if await self._run(lambda: found.append(bundle.query_scores(query, ready)), "A query cannot be compared"):
            self._metrics.stages.lap(TEXTS, began)
            return found[0], lacking
        return None, 0

    def close(self) -> None:
        """Ends the thread."""
        self._pool.shutdown()

    async def _remember(self, bundle: ServedBundle, texts: Sequence[str], seconds: float | None) -> bool:
        began = time.perf_counter()
        done = await self._run(lambda: bundle.remember_texts(texts), f"{len(texts)} texts cannot be encoded", seconds)
        self._metrics.stages.lap(TEXTS, began)
        if done:
            self._metrics.looked_up("texts", 0, len(set(texts)))
        return done

    async def _run(self, task: Callable[[], None], failed: str, seconds: float | None = None) -> bool:
        """Does the task on the encoder's thread; whether it could be done, and in time."""
        if self._open >= self._waiting:
            raise QueueFullError
        self._open += 1
        doing = asyncio.get_running_loop().run_in_executor(self._pool, task)
        try:
            done, _ = await asyncio.wait([doing], timeout=seconds)
            for each in done:
                each.result()
            return bool(done)
        except Exception as problem:  # noqa: BLE001  a ranking without texts is better than none, and it says so
            _log.warning("%s: %s", failed, without_content(problem))
            return False
        finally:
            doing.cancel()  # what has not begun
            self._open -= 1


def told_of_new(bundle: ServedBundle, candidates: Candidates) -> tuple[set[str], list[str]]:
    """Of the texts of items that the model has not met: those that it has read, and whose the others are, in order."""
    if not candidates.texts:
        return set(), []
    met = bundle.catalogue.index
    new = {item: text for item, text in candidates.texts.items() if item not in met}
    read = bundle.texts_read(new.values())
    return read, [item for item, text in new.items() if text not in read]


def without_texts(candidates: Candidates, items: Collection[str]) -> Candidates:
    """The candidates without the texts of some."""
    if not items:
        return candidates
    return replace(candidates, texts={item: text for item, text in candidates.texts.items() if item not in items})
