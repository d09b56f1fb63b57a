"""Texts of items that the model has not met: encoded before the list is queued, on a thread of their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from liverank.ranking.protocol import Candidates
from serving.batching import QueueFullError
from serving.model import ServedBundle

_log = logging.getLogger(__name__)


class TextEncoding:
    """Has the encoder remember a list's new texts, so that the model's thread, which all lists share, only looks them
    up; at most `most` texts a list and `waiting` lists at once.
    """

    def __init__(self, most: int, waiting: int) -> None:
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
        return replace(candidates, texts={item: candidates.texts[item] for item in ready}), why

    def close(self) -> None:
        """Ends the thread."""
        self._pool.shutdown()

    async def _remember(self, bundle: ServedBundle, texts: Sequence[str]) -> bool:
        if self._open >= self._waiting:
            raise QueueFullError
        self._open += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, bundle.remember_texts, texts)
        except Exception as problem:  # noqa: BLE001  a ranking without texts is better than none, and it says so
            _log.warning("%d texts cannot be encoded: %s", len(texts), problem)
            return False
        finally:
            self._open -= 1
        return True
