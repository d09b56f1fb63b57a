"""Texts of items that the model has not met: encoded before the list is queued, on a thread of their own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
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

    async def encoded(self, bundle: ServedBundle, candidates: Candidates) -> tuple[Candidates, tuple[str, ...]]:
        """The candidates with the texts that are ready for scoring, and what is missing.

        Raises:
            QueueFullError: too many lists wait for their texts.
        """
        met = bundle.catalogue.index
        new = [item for item in candidates.texts if item not in met]
        if not new:
            return candidates, ()
        ready = new[: self._most]
        if ready and not await self._remember(bundle, [candidates.texts[item] for item in ready]):
            ready = []
        lacking = len(new) - len(ready)
        why = (f"texts: {lacking} candidates were scored without their text",) if lacking else ()
        left = set(new).difference(ready)
        # Those that this model knows stay too: the one that scores may be its successor, and not know them.
        texts = {item: text for item, text in candidates.texts.items() if item not in left}
        return replace(candidates, texts=texts), why

    async def matched(self, bundle: ServedBundle, query: str, candidates: Candidates) -> Scores | None:
        """How close each candidate's text lies to a query, `[candidates]`; None where the encoder fails.

        Raises:
            QueueFullError: too many lists wait for their texts.
        """
        ready, _ = await self.encoded(bundle, candidates)
        found: list[Scores] = []
        began = time.perf_counter()
        if await self._run(lambda: found.append(bundle.query_scores(query, ready)), "A query cannot be compared"):
            self._metrics.stages.lap(TEXTS, began)
            return found[0]
        return None

    def close(self) -> None:
        """Ends the thread."""
        self._pool.shutdown()

    async def _remember(self, bundle: ServedBundle, texts: Sequence[str]) -> bool:
        hits: list[int] = []
        began = time.perf_counter()
        done = await self._run(
            lambda: hits.append(bundle.remember_texts(texts)), f"{len(texts)} texts cannot be encoded"
        )
        self._metrics.stages.lap(TEXTS, began)
        if done:
            self._metrics.looked_up("texts", hits[0], len(set(texts)) - hits[0])
        return done

    async def _run(self, task: Callable[[], None], failed: str) -> bool:
        """Does the task on the encoder's thread; whether it could be done."""
        if self._open >= self._waiting:
            raise QueueFullError
        self._open += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, task)
        except Exception as problem:  # noqa: BLE001  a ranking without texts is better than none, and it says so
            _log.warning("%s: %s", failed, without_content(problem))
            return False
        finally:
            self._open -= 1
        return True
