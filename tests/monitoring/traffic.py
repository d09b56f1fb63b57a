"""Crafted traffic: lists of a small catalogue whose clicks sit high (a good model) or anywhere (a bad one)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from liverank.config import Config, load_config
from liverank.evaluation.request_table import RankedRequest, request_table
from liverank.events import Impression, Interaction, Record, ShownItem
from liverank.ranking.data import Catalogue
from monitoring.models import ServedModel
from monitoring.trigger import Facts, TriggerResult

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
SHOWN = 20
USERS = 120
PAST = 3
"""Events that every user has behind them, and that a request looks back on."""


def catalogue(items: int = 200, width: int = 16) -> Catalogue:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(items, width))
    # Neighbours in popularity are neighbours in meaning.
    vectors[:, 0] += 4 * np.arange(items) / items
    ids = tuple(f"item-{row}" for row in range(items))
    return Catalogue(
        item_ids=ids,
        titles=ids,
        categories=tuple(f"category-{row % 6}" for row in range(items)),
        texts=ids,
        train_events=(1000 / np.arange(1, items + 1)).astype(np.int64),
        embeddings=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
    )


def past() -> list[Record]:
    """What users did before the first window: a store that is no longer cold."""
    return [
        Interaction(
            event_id=f"past-{user}-{number}",
            user_id=f"user-{user}",
            item_id=f"item-{(user + number) % 200}",
            type="view",
            timestamp=START - timedelta(hours=number + 1),
        )
        for user in range(USERS)
        for number in range(PAST)
    ]


@dataclass
class Traffic:
    """Draws ranked lists with answers; `good` is the chance that an answer sits at the top by the model's merit."""

    seed: int
    good: float = 0.7
    items: tuple[int, int] = (0, 200)
    """Rows of the catalogue that candidates come from."""
    answered: float = 0.8
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def one(self) -> dict[str, Any]:
        rng = self.rng
        merit = rng.random() < self.good
        place = min(int(rng.geometric(0.35)) - 1, SHOWN - 1) if merit else int(rng.integers(SHOWN))
        return {
            "user": f"user-{rng.integers(USERS)}",
            "surface": "home" if rng.random() < 0.6 else "search",
            "items": [f"item-{row}" for row in rng.choice(np.arange(*self.items), SHOWN, replace=False)],
            "scores": np.sort(rng.normal(size=SHOWN))[::-1],
            "clicked": place if rng.random() < self.answered else None,
        }

    def records(self, n: int, version: str = "1", at: datetime = START, gap: float = 30.0) -> list[Record]:
        """`n` impressions, each followed by its answer, `gap` seconds apart."""
        found: list[Record] = []
        for row in range(n):
            drawn, name = self.one(), f"{version}-{self.seed}-{row}-{at:%d%H%M}"
            time = at + timedelta(seconds=gap * row)
            shown = [
                ShownItem(item_id=item, position=place + 1, score=float(score))
                for place, (item, score) in enumerate(zip(drawn["items"], drawn["scores"], strict=True))
            ]
            found.append(
                Impression(
                    impression_id=name,
                    user_id=drawn["user"],
                    timestamp=time,
                    shown=shown,
                    surface=drawn["surface"],
                    model_version=version,
                )
            )
            if drawn["clicked"] is not None:
                found.append(
                    Interaction(
                        event_id=f"event-{name}",
                        user_id=drawn["user"],
                        item_id=drawn["items"][drawn["clicked"]],
                        type="click",
                        timestamp=time + timedelta(seconds=5),
                        impression_id=name,
                    )
                )
        return found

    def table(self, n: int, source: str = "impressions", k: int = 10) -> pa.Table:
        """A request table of `n` requests, as evaluation leaves it."""
        return request_table((self._ranked(row, source) for row in range(n)), catalogue(), k)

    def _ranked(self, row: int, source: str) -> RankedRequest:
        drawn = self.one()
        labels = np.zeros(SHOWN)
        if drawn["clicked"] is not None:
            labels[drawn["clicked"]] = 1
        at = START.timestamp() - 86400 + 30 * row
        return RankedRequest(
            request_id=f"request-{row}",
            user_id=drawn["user"],
            timestamp=at,
            surface=drawn["surface"],
            item_ids=drawn["items"],
            scores=drawn["scores"],
            labels=labels,
            history_times=[at - 600 * back for back in range(PAST, 0, -1)],
            source=source,
        )


@dataclass
class FixedModels:
    """Models whose references are at hand, by version."""

    references: dict[str, pa.Table | None]

    def served(self, version: str) -> ServedModel:
        return ServedModel(catalogue(), self.references[version], START - timedelta(days=2))


@dataclass
class CountingTrigger:
    """Starts nothing real; a name that was asked for is a run that exists."""

    asked: list[Facts] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    busy: str | None = None
    problem: BaseException | None = None

    def active(self) -> str | None:
        return self.busy

    def start(self, reason: Facts) -> TriggerResult:
        self.asked.append(reason)
        known = reason.run_name in self.names
        self.names.add(reason.run_name)
        if self.problem:
            raise self.problem
        return TriggerResult(run_id=reason.run_name, started=not known, detail="known" if known else "")


@dataclass
class Clock:
    """A clock that stands still unless it is moved."""

    now: datetime = START + timedelta(days=1)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def config(workspace: Path, **settings: Any) -> Config:
    """Small windows; `settings` are keys of the monitoring section."""
    values = {"window_impressions": 200, "cooldown_seconds": 3600, **settings}
    overrides = {f"monitoring.{key}": value for key, value in values.items()}
    quick = {"evaluation.bootstrap_samples": 200, "serving.history_length": PAST}
    quick = {"workspace": str(workspace), **quick, **overrides}
    return load_config(None, quick)


def decisions_of(records: Sequence[Any]) -> list[tuple[str, str]]:
    return [(record.action, record.rule) for record in records]
