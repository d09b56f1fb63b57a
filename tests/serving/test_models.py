"""Models learn of every item in the end, whatever fails on the way, and a model that cannot be loaded replaces none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from liverank.errors import BundleError, StoreError
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


def test_an_item_that_waited_for_its_turn_does_not_replace_a_newer_one(
    tmp_path: Path, stores: tuple[LiveStore, LiveStore]
) -> None:
    async def live() -> None:
        of = served(stores[0], Source(Bundle("1", tmp_path)))
        stores[0].append([older := Item(item_id="a", text="older")])
        stores[1].append([Item(item_id="a", text="newer")])
        await known(of, "a")
        await of.add([older])
        assert of.champion.bundle._items["a"].text == "newer"

    asyncio.run(live())


def test_an_item_that_was_taken_is_known_though_the_store_has_gone_since(
    tmp_path: Path, stores: tuple[LiveStore, LiveStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*arguments: Any) -> Any:
        raise StoreError("The live store cannot be read.")

    async def live() -> None:
        of = served(stores[0], Source(Bundle("1", tmp_path)))
        stores[0].append([item := Item(item_id="a")])
        monkeypatch.setattr(stores[0], "cursor", gone)
        await of.add([item])
        assert "a" in of.champion.bundle.catalogue.index

    asyncio.run(live())
