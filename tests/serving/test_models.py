"""Models learn of every item in the end, whatever fails on the way, and a model that cannot be loaded replaces none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from liverank.errors import BundleError
from liverank.events import Item
from liverank.store import LiveStore, open_store
from serving import models
from serving.api import Refused
from serving.metrics import Metrics
from serving.model import ServedModel
from serving.models import Models
from tests.serving.dummy import DummyBundle


class Bundle(DummyBundle):
    """Fails to learn items as long as there are failures left."""

    def __init__(self, version: str, folder: Path, failures: Sequence[Exception] = ()) -> None:
        super().__init__(version, folder / "slow")
        self.failures = list(failures)

    def add_items(self, items: Sequence[Item], former: Any = None) -> None:
        if items and self.failures:
            raise self.failures.pop(0)
        super().add_items(items, former)


class Source:
    """Loads one version after the other."""

    def __init__(self, *bundles: Bundle) -> None:
        self.left = [ServedModel(str(number), bundle) for number, bundle in enumerate(bundles, 1)]

    def load(self) -> ServedModel:
        return self.left.pop(0)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[LiveStore, LiveStore]]:
    opened = open_store(tmp_path / "live.db"), open_store(tmp_path / "live.db")
    yield opened
    for store in opened:
        store.close()


def served(store: LiveStore, source: Source) -> Models:
    return Models(source, (), lambda reference: source, store, Metrics(CollectorRegistry()), lambda items: None)


async def known(of: Models, item: str) -> None:
    """Waits for an item as long as pytest lets it."""
    following = asyncio.create_task(of.follow_items())
    while item not in of.champion.bundle.catalogue.index:
        assert not following.done()
        await asyncio.sleep(0.01)
    following.cancel()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "POLL_SECONDS", 0.01)


def test_items_of_others_are_learned_after_failures_of_any_kind(stores, tmp_path: Path) -> None:
    ours, others = stores
    bundle = Bundle("1", tmp_path, [BundleError("The encoder is away."), RuntimeError("out of memory")])
    of = served(ours, Source(bundle))
    others.append([Item(item_id="new")])
    asyncio.run(asyncio.wait_for(known(of, "new"), 60))
    assert not bundle.failures


def test_items_that_a_failed_swap_read_are_learned_by_the_model_that_stays(stores, tmp_path: Path) -> None:
    ours, others = stores
    broken = Bundle("2", tmp_path, [RuntimeError("a tensor of another shape")])
    of = served(ours, Source(Bundle("1", tmp_path), broken))
    others.append([Item(item_id="new")])

    async def swap_and_follow() -> Refused:
        with pytest.raises(Refused) as refusal:
            await of.swap()
        assert "new" not in of.champion.bundle.catalogue.index
        await asyncio.wait_for(known(of, "new"), 60)
        return refusal.value

    refusal = asyncio.run(swap_and_follow())
    assert (refusal.status, refusal.headers) == (503, {"Retry-After": "5"})
    assert "Version 1 still serves: RuntimeError" in refusal.message
    assert "tensor" not in refusal.message
    assert of.champion.version == "1"


def test_items_of_ours_that_could_not_be_learned_are_tried_again(stores, tmp_path: Path) -> None:
    ours, _ = stores
    of = served(ours, Source(Bundle("1", tmp_path, [RuntimeError("out of memory")])))

    async def take_and_follow() -> None:
        item = Item(item_id="new")
        ours.append([item])
        with pytest.raises(RuntimeError):
            await of.add([item])
        await asyncio.wait_for(known(of, "new"), 60)

    asyncio.run(take_and_follow())
