"""A model that was taken over from is gone, with its catalogues and its language model, also where nobody asks then."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from liverank.config import Config, InterestConfig, TrainingConfig
from liverank.events import Item
from liverank.ranking.blend import BlendRanker
from liverank.ranking.catalogue import Catalogue
from liverank.ranking.fit import fit
from liverank.store import open_store
from liverank.text import LanguageModel
from serving.api import Candidate, RankRequest
from serving.metrics import Metrics
from serving.model import FolderSource
from serving.service import RankingService
from tests.evaluation.world import write_features
from tests.store.contract import click

SMALL = InterestConfig(dimension=16, layers=1, history_length=12, batch_steps=128, epochs=1)


def parts(service: RankingService) -> list[weakref.ref[Any]]:
    """What is large of the model that serves."""
    bundle: Any = service.models.champion.bundle
    held = (bundle, bundle.primary, bundle.catalogue, bundle._encoder, *bundle.rankers.values())
    return [weakref.ref(part) for part in held]


def language_network(service: RankingService) -> weakref.ref[Any]:
    """The network of its language model, whose parts refer to each other."""
    bundle: Any = service.models.champion.bundle
    return weakref.ref(bundle._encoder._loaded[1])


def known_by_itself(model: object) -> None:
    """Something that counting references does not free, as a kept exception and its frames are."""
    cycle: list[Any] = [model]
    cycle.append(cycle)


async def left(of: list[weakref.ref[Any]]) -> list[str]:
    """What is still in memory once the threads have put away what they hold of the last request.

    Without the collector of cycles, which walks a large heap seldom.
    """
    for _ in range(100):
        if not any(ref() for ref in of):
            break
        await asyncio.sleep(0.05)
    return [type(part).__name__ for ref in of if (part := ref()) is not None]


@pytest.mark.parametrize("alike", [True, False])
def test_what_an_update_and_a_swap_replace_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alike: bool
) -> None:
    if not alike:
        monkeypatch.setattr(LanguageModel, "share", lambda model, other: False)
    write_features(tmp_path / "features")
    training = TrainingConfig(threads=1, seed=1, interest=SMALL)
    fit(tmp_path / "features", tmp_path / "bundle", training, tmp_path / "checkpoints")
    store = open_store(tmp_path / "live.db")

    async def live() -> None:
        service = RankingService(
            Config(workspace=str(tmp_path)), store, FolderSource(tmp_path / "bundle"), Metrics(CollectorRegistry())
        )
        known = service.models.champion.bundle.catalogue.item_ids[:5]
        wanted = RankRequest(user_id="u", candidates=[Candidate(item_id=item) for item in (*known, "new")])
        await service.records.append([click(1, user="u", item=known[0])])
        await service.rank(wanted)
        # The bundle and its language model stay; what it knows of items does not.
        replaced = [ref for ref in parts(service) if isinstance(ref(), (Catalogue, BlendRanker))]
        await service.records.append([Item(item_id="new", title="A kettle")])
        await service.rank(wanted)
        assert await left(replaced) == []
        await service.rank(wanted)
        former, network = parts(service), language_network(service)
        gc.disable()  # it may come by at any time, and may not for hours
        try:
            known_by_itself(service.models.champion)
            await service.swap()
            assert await left(former) == []
            assert (network() is language_network(service)()) == alike
            assert (network() is not None) == alike
        finally:
            gc.enable()
        await service.close()

    asyncio.run(live())
    store.close()
