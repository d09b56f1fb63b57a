"""The user's own events beside the lines that are shown, and a sentence made of them, once the order is known."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from msgspec import structs

from liverank.config import ServingConfig
from serving.api import EventReason, RankedItem
from serving.explaining import Effects
from serving.telling import SentenceWriter

NO_TIME = "explain: no time left for the user's events"
FAILED = "explain: the user's events could not be left out"

_log = logging.getLogger(__name__)

Reasons = list[list[EventReason]]
OnModelThread = Callable[[Callable[[], Reasons]], Coroutine[Any, Any, Reasons]]


class Causes:
    """Puts events and sentences to the first lines of explained answers."""

    def __init__(self, config: ServingConfig, sentences: SentenceWriter, beside: OnModelThread) -> None:
        """Takes how many lines and events, who writes sentences, and what runs a call where the model scores."""
        self._config = config
        self._sentences = sentences
        self._beside = beside

    async def told(
        self, lines: list[RankedItem], item_ids: Sequence[str], effects: Effects | None, deadline: float | None
    ) -> tuple[list[RankedItem], tuple[str, ...]]:
        """The lines with what could be found in time, and what is lacking.

        Args:
            lines: as they are shown.
            item_ids: the request's candidates.
            effects: of the request; None where nothing can be said.
            deadline: when the caller needs the answer, on the clock of `time.perf_counter`; None: whenever it comes.
        """
        first, rest = lines[: self._config.explain_items], lines[self._config.explain_items :]
        if effects is None or not first:
            return lines, ()
        index = {item: at for at, item in enumerate(item_ids)}
        places = [index[line.item_id] for line in first]
        found = await self._found(partial(effects.reasons, places, self._config.explain_events), deadline)
        if isinstance(found, str):
            return lines, (found,)
        told = [
            structs.replace(line, events=events, sentence=self._sentence(effects, at, place, events))
            for at, (line, place, events) in enumerate(zip(first, places, found, strict=True))
        ]
        return told + rest, ()

    async def _found(self, asked: Callable[[], Reasons], deadline: float | None) -> Reasons | str:
        left = None if deadline is None else deadline - time.perf_counter()
        if left is not None and left <= 0:
            return NO_TIME
        try:
            return await asyncio.wait_for(self._beside(asked), left)
        except TimeoutError:
            return NO_TIME
        except Exception:  # noqa: BLE001  the ranking stands, and says that its events are missing
            _log.exception("The events of a user could not be left out.")
            return FAILED

    def _sentence(self, effects: Effects, at: int, place: int, events: Sequence[EventReason]) -> str | None:
        if at >= self._config.sentences.top:
            return None
        return self._sentences.sentence(effects.facts(place, events)) or None
