"""Every model that serves: the champion and those beside it, loaded, told of new items and swapped together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from liverank.config.experiment import CHAMPION
from liverank.errors import LiverankError, StoreError
from liverank.events import Item
from liverank.store import LiveStore
from serving.api import Refused
from serving.following import follow
from serving.metrics import Metrics
from serving.model import ModelSource, ServedModel
from serving.new_items import POLL_SECONDS, NewItems
from serving.troubles import Troubles
from serving.variants import Sources, VariantModels

_log = logging.getLogger(__name__)


class Models:
    """Models by reference. Building it loads them; the champion is always there, another may be missing.

    Args:
        source: where the champion comes from.
        wanted: references of the models beside it.
        sources: from such a reference to where it comes from.
        store: the live store, for the items that it took.
        metrics: where the version that serves and swaps are counted.
        learn: told of every item that the models learn of.
    """

    def __init__(
        self,
        source: ModelSource,
        wanted: Iterable[str],
        sources: Sources,
        store: LiveStore,
        metrics: Metrics,
        learn: Callable[[Sequence[Item]], None],
    ) -> None:
        self.source = source
        self._variants = VariantModels(wanted, sources)
        self._store = store
        self._metrics = metrics
        self._learn = learn
        self._new_items = NewItems(store)
        self._troubles = Troubles()
        self._changing = asyncio.Lock()
        self.champion, cursor = self._load(None)
        self._new_items.reached(cursor)
        self._metrics.serves(self.champion.version, self.champion.bundle.hash)

    def __contains__(self, reference: str) -> bool:
        return reference == CHAMPION or reference in self._variants

    def __getitem__(self, reference: str) -> ServedModel:
        """The model of a reference that serves."""
        return self.champion if reference == CHAMPION else self._variants[reference]

    def get(self, reference: str) -> ServedModel | None:
        """As `[reference]`, None where that model is missing."""
        return self.champion if reference == CHAMPION else self._variants.get(reference)

    async def add(self, items: Sequence[Item]) -> None:
        """Makes items that this server took rankable.

        By what the store holds of them now: while this waited for its turn, another server may have taken newer ones.
        """
        async with self._changing:
            try:
                await asyncio.to_thread(self._learn_unseen)
            except StoreError as problem:
                self._troubles.say(problem)
                await asyncio.to_thread(self._add, items)
                self._new_items.took(items)
                self._learn(items)

    async def follow_items(self) -> None:
        """Has the models learn what other servers on the same store take, until it is cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            async with self._changing:
                try:
                    await asyncio.to_thread(self._learn_unseen)
                except LiverankError as problem:
                    self._troubles.say(problem)
                except Exception:  # noqa: BLE001  the next look may be luckier, and without one no item would ever come
                    _log.exception("Items of other servers cannot be learned; they are tried again.")

    async def swap(self) -> ServedModel:
        """Loads the version to serve now beside the old one, then lets it take over between two batches.

        The models of an experiment likewise; one that cannot be loaded stays as it was.

        Raises:
            Refused: 503; it cannot be loaded, and the old one still serves.
        """
        async with self._changing:
            former = self.champion
            try:
                model, cursor = await asyncio.to_thread(self._load, former)
            except LiverankError as problem:
                raise self._failed(str(problem)) from problem
            except Exception as problem:
                # What a bundle breaks on may be anything; it must not look as if the server were broken.
                _log.exception("The model to serve now cannot be loaded.")
                raise self._failed(f"{type(problem).__name__}; the server's log says more.") from problem
            self.champion = model
            self._new_items.reached(cursor)
            self._metrics.serves(model.version, model.bundle.hash)
            self._metrics.swaps.labels("done").inc()
            await asyncio.to_thread(_close, [former])
            return model

    def _failed(self, why: str) -> Refused:
        self._metrics.swaps.labels("failed").inc()
        return Refused(503, f"Version {self.champion.version} still serves: {why}", {"Retry-After": "5"})

    def close(self) -> None:
        """Ends the threads that follow the log; the models can still score."""
        _close(self._served)

    @property
    def _served(self) -> list[ServedModel]:
        return [self.champion, *self._variants.served]

    def _load(self, former: ServedModel | None) -> tuple[ServedModel, int]:
        """The champion, ready to serve, and how far in the log it knows items; those beside it take over at once."""
        model = self.source.load()
        variants = self._variants.load()
        items, cursor = self._new_items.all()
        self._learn(items)
        champion = self._ready(items, former, model)
        _close(self._variants.take(variants, partial(self._ready, items, former)))
        return champion, cursor

    def _ready(self, items: Sequence[Item], former: ServedModel | None, model: ServedModel) -> ServedModel:
        model.bundle.add_items(items, None if former is None else former.bundle)
        model.warm_up()
        return replace(model, follower=follow(self._store, model.bundle.rankers))

    def _learn_unseen(self) -> None:
        items, cursor = self._new_items.unseen()
        if items:
            self._add(items)
            self._learn(items)
        self._new_items.reached(cursor)

    def _add(self, items: Sequence[Item]) -> None:
        for model in self._served:
            model.bundle.add_items(items)


def _close(models: Iterable[ServedModel]) -> None:
    for model in models:
        if model.follower is not None:
            model.follower.close()
