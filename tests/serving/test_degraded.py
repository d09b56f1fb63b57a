"""Every reason that serving can give for a lesser answer is counted, and provoked once; `lm` in test_cascade."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from liverank.config import load_config
from liverank.errors import StoreError
from liverank.ranking.protocol import History
from liverank.store import SqliteStore
from serving.api import Candidate, RankRequest, RankResponse
from serving.following import LogFollower
from serving.metrics import REASONS, Metrics
from serving.service import RankingService
from tests.conftest import ROOT
from tests.serving.dummy import DummySource
from tests.serving.test_following import counts, spoil

EXPERIMENT = {
    "serving.experiment.name": "spring",
    "serving.experiment.variants.control.share": 0.0001,
    "serving.experiment.variants.new.share": 0.9999,
    "serving.experiment.variants.new.model": "alias:challenger",
}


class Lost(SqliteStore):
    """A store that rankings cannot read."""

    def history(self, user_id: str, n: int, before: float | None = None) -> History:
        raise StoreError("The live store is away.")


def sentences(path: Path) -> set[str]:
    """The words before a colon with which string literals of a module begin."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    literals = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
    )
    return {found[1] for text in literals if (found := re.match(r"([a-z]+): ", text))}


def test_the_labels_are_the_words_of_the_code() -> None:
    modules = [*(ROOT / "serving").glob("*.py"), *(ROOT / "liverank" / "shaping").glob("*.py")]
    # What a chat model is told has words before colons, too.
    assert set().union(*(sentences(path) for path in modules if path.name != "telling.py")) == set(REASONS)


Provoke = Callable[[RankingService, Path], RankRequest]


def plainly(service: RankingService, workspace: Path, **fields: Any) -> RankRequest:
    return RankRequest(user_id="u", candidates=["a", "b"], **fields)


def _late(service: RankingService, workspace: Path) -> RankRequest:
    (workspace / "slow").write_text("0.3")
    return plainly(service, workspace, deadline_ms=20)


def _behind(service: RankingService, workspace: Path) -> RankRequest:
    service.models.champion = replace(service.models.champion, follower=LogFollower(service.records._store, counts()))
    spoil(service.records._store)
    return plainly(service, workspace)


def _unkept(service: RankingService, workspace: Path) -> RankRequest:
    service.log.close()
    return plainly(service, workspace)


def _unreadable(service: RankingService, workspace: Path) -> RankRequest:
    return RankRequest(user_id="u", candidates=[Candidate(item_id="x", text="unreadable")])


def _poisoned(service: RankingService, workspace: Path) -> RankRequest:
    return RankRequest(user_id="u", candidates=["poison"])


CASES: dict[str, tuple[Provoke, dict[str, Any]]] = {
    "deadline": (_late, {}),
    "experiment": (plainly, EXPERIMENT),
    "explain": (partial(plainly, explain=True), {}),
    "features": (_behind, {}),
    "history": (plainly, {}),
    "impression": (_unkept, {}),
    "model": (_poisoned, {}),
    "query": (plainly, {}),
    "rules": (plainly, {"serving.surfaces": {"default": {"pin": ["a"], "exclude": ["a"]}}}),
    "texts": (_unreadable, {}),
}


def test_each_label_has_a_case() -> None:
    assert {*CASES, "lm"} == set(REASONS)


@pytest.mark.parametrize("label", CASES)
def test_each_is_said_and_counted_once(tmp_path: Path, label: str) -> None:
    provoke, settings = CASES[label]
    registry = CollectorRegistry()
    store = (Lost if label == "history" else SqliteStore)(tmp_path / "live.db")
    config = load_config(None, {"workspace": str(tmp_path), **settings})
    if label == "experiment":
        (tmp_path / "alias-challenger").write_text("broken")

    async def ask() -> RankResponse:
        service = RankingService(
            config, store, DummySource(tmp_path), Metrics(registry), sources=partial(DummySource, tmp_path)
        )
        request = provoke(service, tmp_path)
        query = await service.match("unreadable", request) if label == "query" else None
        answer = await service.rank(request, query)
        await service.close()
        return answer

    answer = asyncio.run(ask())
    store.close()
    assert [reason.partition(":")[0] for reason in answer.degraded] == [label]
    counted = {name: registry.get_sample_value("liverank_degraded_total", {"reason": name}) for name in REASONS}
    assert counted == {name: float(name == label) for name in REASONS}
