"""A day of lists that a real model serves from a real store under the log's clock, and what may be tampered with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from liverank.config import Config, FeatureConfig, TrainingConfig, load_config
from liverank.config.training import InterestConfig
from liverank.events import Impression, Interaction, Item
from liverank.features.popularity import trailing_columns
from liverank.features.skew import SkewReport, check_skew, impressions_since
from liverank.features.value_skew import ValueCheck
from liverank.ranking.bundle import Bundle
from liverank.ranking.bundle_files import load_feature_ranker
from liverank.ranking.feature_ranker import FeatureRanker
from liverank.store import SqliteStore, open_store
from serving import api
from serving.metrics import Metrics
from serving.model import FolderSource, ServedModel
from serving.service import RankingService
from tests.features.conftest import at, event
from tests.features.test_online import arrivals, replace_arrival, traffic

CUT = 24.0 * 20
"""Hours before which the model learned; the log goes on."""
SERVED = 24.0 * 22 + 12
"""Hours from which lists are served by the model; the days between are counted from the log alone."""
LENGTH = 20
FEATURES = FeatureConfig(history_length=LENGTH, popularity_days=(1, 3, 7), max_requests=60)
TRAINING = TrainingConfig(threads=1, feature_ranker=True, interest=InterestConfig(enabled=False))
TRAILING = set(trailing_columns((1, 3, 7)))


@dataclass
class Day:
    """A store on which the log is replayed and the lists of its last days are ranked, under the log's own clock."""

    workspace: Path
    bundle: Path
    settings: dict[str, Any] = field(default_factory=dict)
    tamper: Callable[[Bundle], None] = lambda _: None
    """Does something to the server's model before it serves."""
    clock: list[float] = field(default_factory=lambda: [0.0])

    def __post_init__(self) -> None:
        self.store: SqliteStore = open_store(self.workspace / "live.db", lambda: self.clock[0])

    @property
    def config(self) -> Config:
        lengths = {"features.history_length": LENGTH, "serving.history_length": LENGTH}
        logged = {"serving.feature_log_share": 1.0, "serving.feature_log_items": 13}
        return load_config(None, {"workspace": str(self.workspace), **lengths, **logged, **self.settings})

    def serve(self) -> Day:
        asyncio.run(self._serve())
        return self

    async def _serve(self) -> None:
        events, lists = traffic(8)
        log = list(arrivals(events, lists))
        early = [entry for entry in log if entry[0] < at(SERVED).timestamp()]
        for when, record in early:
            self.clock[0] = when
            self.store.append([replace_arrival(record) if isinstance(record, Interaction) else record])
        service = RankingService(
            self.config, self.store, Tampered(self.bundle, self.tamper), Metrics(CollectorRegistry()), self._now
        )
        for when, record in log[len(early) :]:
            self.clock[0] = when
            if isinstance(record, Interaction):
                await service.records.append([replace_arrival(record)])
            else:
                answer = await service.rank(asked(record))
                assert answer.degraded == []
                # The log is written before its clock goes on.
                await service.log.write([])
        await service.close()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock[0], UTC)

    def report(self, **more: Any) -> SkewReport:
        check = replace(ValueCheck(lambda _: load_feature_ranker(self.bundle), FEATURES), **more)
        return check_skew(self.store, impressions_since(self.store, at(SERVED)), LENGTH, check)


@dataclass(frozen=True)
class Tampered:
    """A bundle folder whose model is not quite that of the folder."""

    folder: Path
    tamper: Callable[[Bundle], None]

    def load(self) -> ServedModel:
        model = FolderSource(self.folder).load()
        self.tamper(model.bundle)  # type: ignore[arg-type]
        return model


def asked(record: Impression) -> api.RankRequest:
    """The request that made a list, as a caller sends it."""
    lines = sorted(record.shown, key=lambda line: line.incoming_position or 0)
    candidates = [api.Candidate(item_id=line.item_id, score=line.incoming_score) for line in lines]
    return api.RankRequest(
        user_id=record.user_id, candidates=candidates, context=record.context, surface=record.surface
    )


def other_decay(bundle: Bundle) -> None:
    """The server's snapshot weighs the steps back otherwise."""
    state = bundle._state
    old: Any = state.rankers["features"]
    snapshot = replace(old.snapshot, settings=replace(old.snapshot.settings, step_decay=0.3))
    rankers = {**state.rankers, "features": FeatureRanker(old.catalogue, snapshot, old.weights)}
    rankers["blend"] = state.rankers["blend"].over(rankers)  # type: ignore[attr-defined]
    bundle._state = replace(state, rankers=rankers)


def other_items(bundle: Bundle) -> None:
    """The server has another price for each item, and another category for some; the log knows nothing of it."""
    bundle.add_items([Item(item_id=f"i{n:02d}", category="abc"[n % 3], attributes={"price": "1"}) for n in range(40)])


def more_counts(bundle: Bundle, events: int = 5) -> None:
    """The server has counted what nobody did."""
    ranker = bundle.rankers["features"]
    assert isinstance(ranker, FeatureRanker)
    for number in range(events):
        ranker.counts.add(event(f"never-{number}", "u1", "i03", CUT + 1, "click"), at(CUT + 1).timestamp())
