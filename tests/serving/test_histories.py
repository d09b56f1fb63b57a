"""Histories kept with what was made of them: found while unchanged, bounded, gone with the model that made it."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from prometheus_client import CollectorRegistry

from liverank.events import Interaction
from liverank.ranking.protocol import Candidates, Context, History, remembered
from liverank.store import open_store
from serving.histories import EVENT_BYTES, OVERHEAD_BYTES, Histories
from serving.metrics import Metrics
from serving.model import ServedModel
from serving.scoring import Job, Scorer

MIB = 2**20


def history(*items: str) -> History:
    return History(items, ("click",) * len(items), tuple(map(float, range(len(items)))))


def test_equal_events_are_the_same_history_and_others_are_not():
    hits: list[bool] = []
    kept = Histories(1, hits.append)
    first = kept.read("u", history("a", "b"))
    assert first == history("a", "b")
    assert kept.read("u", history("a", "b")) is first
    assert kept.read("v", history("a", "b")) is not first
    changed = kept.read("u", history("a", "b", "c"))
    assert changed is not first
    assert changed.memo == {}
    assert kept.read("u", history("a", "b")) is not first
    assert hits == [False, True, False, False, False]


def test_the_users_of_longest_ago_are_forgotten():
    kept = Histories(1)
    size = 300_000
    for user in ("a", "b", "c", "a", "d"):
        one = kept.read(user, history(user))
        remembered(one, kept, "large", lambda: (np.zeros(size, np.uint8), None))
        kept.weigh([user])
        assert kept.held_mib <= 1
    assert len(kept) == (MIB // (size + OVERHEAD_BYTES + EVENT_BYTES + 1)) == 3
    assert kept.read("a", history("a")).memo  # asked for again, so that b went before it
    assert not kept.read("b", history("b")).memo


def test_one_that_is_too_large_is_not_kept():
    kept = Histories(1)
    remembered(kept.read("u", history("a")), kept, "large", lambda: np.zeros(2 * MIB, np.uint8))
    kept.weigh(["u"])
    assert len(kept) == 0
    assert kept.held_mib == 0


def test_a_user_without_events_any_more_is_forgotten():
    kept = Histories(1)
    kept.read("u", history("a"))
    kept.read("u", History())
    assert len(kept) == 0


def test_nothing_is_kept_without_room_or_events():
    assert Histories(0).read("u", history("a")).memo is None
    assert Histories(1).read("u", History()).memo is None


class Reading:
    """A ranker that counts how often it reads a history."""

    name = "reading"

    def __init__(self) -> None:
        self.read = 0

    def score_batch(self, requests):
        return [remembered(one.history, self, "scores", lambda one=one: self._scores(one)) for one in requests]

    def _scores(self, one):
        self.read += 1
        return np.full(len(one.candidates), len(one.history), np.float32)


def test_a_model_reads_a_history_once_and_its_successor_anew(tmp_path: Path):
    store = open_store(tmp_path / "live.db")
    rankers = [Reading(), Reading()]
    models = [ServedModel(str(at), SimpleNamespace(primary=ranker)) for at, ranker in enumerate(rankers)]
    serving = models[0]
    scorer = Scorer(lambda: serving, store, 50, Metrics(CollectorRegistry()), cache_mib=1)

    def ask() -> float:
        (answer,) = scorer([Job("u", Candidates(["a"]), Context(2e9), time.perf_counter())])
        return float(answer.scores[0])

    def click(number: int) -> None:
        at = f"2026-01-01T00:00:{number:02d}Z"
        fields = {"event_id": str(number), "user_id": "u", "item_id": "a", "type": "click"}
        store.append([Interaction(**fields, timestamp=datetime.fromisoformat(at))])

    click(1)
    assert [ask(), ask()] == [1, 1]
    assert rankers[0].read == 1
    click(2)
    assert [ask(), ask()] == [2, 2]
    assert rankers[0].read == 2
    serving = models[1]
    assert [ask(), ask()] == [2, 2]
    assert rankers[1].read == 1
    serving = models[0]  # what it made was forgotten with it
    assert ask() == 2
    assert rankers[0].read == 3
    store.close()
