"""What the server takes and gives of the live store: records, a user's export, an erasure."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from liverank.certificates import Erased
from liverank.errors import LiverankError
from liverank.events import Item, Record
from liverank.pseudonyms import Pseudonyms
from liverank.store import LiveStore
from liverank.store.circuit import Unreachable
from serving import api
from serving.api import Refused
from serving.clock import Clock
from serving.erasing import erase
from serving.log import LogWriter
from serving.metrics import Metrics
from serving.models import Models


class LiveRecords:
    """The store as callers meet it; coroutines run in the server's event loop.

    Args:
        store: what is read, and erased from.
        log: what writes.
        models: told of items, asked who saw an erased user.
        names: what the store calls users and sessions.
        event_weights: the event types that may come.
        clock: dates and checks.
        metrics: counts.
    """

    def __init__(
        self,
        store: LiveStore,
        log: LogWriter,
        models: Models,
        names: Pseudonyms,
        event_weights: Mapping[str, float],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._log = log
        self._models = models
        self._names = names
        self._event_weights = event_weights
        self._clock = clock
        self._metrics = metrics

    async def append(self, records: Sequence[Record], names: Pseudonyms | None = None) -> int:
        """How many records were new, once they are on disk; items among them are rankable then.

        Args:
            records: to be written, all or none.
            names: what the store calls users and sessions; default as every caller from outside.

        Raises:
            Refused: 400 for an event type without a weight or a time to come; 503 when the store cannot write.
        """
        api.check_types(records, self._event_weights)
        api.check_times(records, self._clock.latest(self._clock.now()))
        try:
            new = await self._log.write((names or self._names).records(records))
        except Unreachable as problem:
            # A Redis that hangs may still find the call on its connection and do it.
            why = f"Send it again, nothing is taken twice; the live store does not answer: {problem}"
            raise Refused(503, why, {"Retry-After": "5"}) from problem
        except LiverankError as problem:
            why = f"Nothing was taken, the live store cannot write: {problem}"
            raise Refused(503, why, {"Retry-After": "5"}) from problem
        self._metrics.records.inc(new)
        self._metrics.freshness.acknowledged(records)
        items = [record for record in records if isinstance(record, Item)]
        if items:
            await self._models.add(items)
        return new

    async def export(self, user_id: str, names: Pseudonyms | None = None) -> Sequence[Record]:
        """Everything the store holds about a user; `names` as in `append`."""
        await self._log.write([])
        names = names or self._names
        records = await asyncio.to_thread(self._store.user, names.user(user_id))
        return names.returned(records, user_id)

    async def erase(self, user_id: str) -> Erased:
        """Erases a user, and says which model versions saw them as far as this server can know."""
        await self._log.write([])
        models, now = self._models, self._clock.now()
        return await asyncio.to_thread(erase, user_id, self._names, self._store, models.source, models.champion, now)
