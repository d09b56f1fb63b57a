"""Counting the days of the log beside the requests: what cannot be read there takes no ranking away."""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from liverank.errors import DataError, StoreError
from liverank.events import Interaction
from liverank.features.daily import DailyCounts
from liverank.features.snapshot import DailyRows, Settings
from liverank.ranking.protocol import Candidates, Context, History
from liverank.store import SqliteStore, open_store
from serving.following import LogFollower
from serving.metrics import Metrics
from serving.model import ServedModel
from serving.scoring import Job, Scorer
from tests.serving.dummy import DummyBundle

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = Settings(
    days=(1,), history_length=50, rate_strength=1.0, last_steps=1, step_decay=1.0, counted_until=0,
    view_types=("view",), click_types=("click",), purchase_types=(), categories=(), surfaces=(), devices=(),
    price_attribute="price", price_edges=(), device_key="device",
)  # fmt: skip


def click(number: int) -> Interaction:
    return Interaction(event_id=f"e{number}", user_id="u", item_id="a", type="click", timestamp=NOON)


def counts() -> DailyCounts:
    return DailyCounts(SETTINGS, DailyRows(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 4), np.int32)))


def spoil(store: SqliteStore) -> None:
    """Adds a record, and makes it one that no version of the contract can read."""
    store.append([click(2)])
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE log SET body = '{\"record\": \"riddle\"}' WHERE key = 'e2'")
    connection.close()


def test_a_record_that_cannot_be_read_is_named_by_its_number(tmp_path: Path) -> None:
    store = open_store(tmp_path / "live.db")
    store.append([click(1)])
    spoil(store)
    with pytest.raises(DataError, match=r"Record 2 of the live store cannot be read: .*riddle"):
        list(store.export())
    store.close()


class Lost(SqliteStore):
    """A store that cannot be read by rankings; reading its log would be one more wait."""

    def history(self, user_id: str, n: int, before: float | None = None) -> History:
        raise StoreError("The live store is away.")


def test_a_ranking_does_not_wait_twice_for_a_store_that_is_away(tmp_path: Path) -> None:
    store = Lost(tmp_path / "live.db")
    tally = counts()
    follower = LogFollower(store, tally)
    store.append([click(1)])
    model = ServedModel("1", DummyBundle("1", tmp_path / "slow"), follower)
    scorer = Scorer(lambda: model, store, 50, Metrics(CollectorRegistry()))
    job = Job("u", Candidates(["b", "a"]), Context(NOON.timestamp() + 86400, "", {}), time.perf_counter())
    (answer,) = scorer([job])
    assert answer.degraded == (
        "history: the live store cannot be read",
        "features: the counts of past days lag behind the live store",
    )
    assert follower.behind(job.context.timestamp)
    follower.close()
    store.close()


def test_a_record_that_cannot_be_read_fails_no_ranking(tmp_path: Path) -> None:
    store = open_store(tmp_path / "live.db")
    follower = LogFollower(store, counts())
    spoil(store)
    model = ServedModel("1", DummyBundle("1", tmp_path / "slow"), follower)
    scorer = Scorer(lambda: model, store, 50, Metrics(CollectorRegistry()))
    at = Context(NOON.timestamp() + 86400, "", {})
    (answer,) = scorer([Job("u", Candidates(["b", "a"]), at, time.perf_counter())])
    assert answer.scores.tolist() == [0.0, 1.0]
    assert answer.degraded == ("features: the counts of past days lag behind the live store",)
    follower.close()
    store.close()
