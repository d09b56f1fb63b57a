"""Small datasets made of contract records, and the features step run on them."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from liverank.config import DataConfig, FeatureConfig, TrainingConfig
from liverank.events import Impression, Interaction, Item, ShownItem, to_table
from liverank.features.build import FeatureSummary, build_features

START = datetime(2024, 3, 4, tzinfo=UTC)
"""A Monday."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEFORE_EPOCH = datetime(1969, 12, 30, 23, 30, tzinfo=UTC)
SPARK = {"engine": "spark", "spark_master": "local[2]", "memory_limit": "2GB"}


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    """One session for all tests of a module, which takes seconds to start; few rows, so few partitions."""
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'liverank[spark]'")
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        pytest.skip("Spark needs Java, and there is none")
    from liverank.features.spark_engine import new_session

    session = new_session(FeatureConfig(**SPARK))
    session.conf.set("spark.sql.shuffle.partitions", "2")
    yield
    session.stop()


def at(hours: float) -> datetime:
    """An instant this many hours after `START`."""
    return START + timedelta(hours=hours)


def event(event_id: str, user: str, item: str, hours: float, kind: str = "click", **more: Any) -> Interaction:
    """One interaction."""
    return Interaction(event_id=event_id, user_id=user, item_id=item, type=kind, timestamp=at(hours), **more)


def shown(impression_id: str, user: str, items: Sequence[str], hours: float, **more: Any) -> Impression:
    """A list with positions from 1 and no scores."""
    lines = [ShownItem(item_id=item, position=place + 1) for place, item in enumerate(items)]
    return Impression(impression_id=impression_id, user_id=user, timestamp=at(hours), shown=lines, **more)


def catalogue(count: int) -> list[Item]:
    """Items i00, i01, ..."""
    return [
        Item(item_id=f"i{n:02d}", title=f"Item {n}", text=f"word{n} 词{n % 3}", category=f"c{n % 2}")
        for n in range(count)
    ]


def write(
    folder: Path,
    events: Sequence[Interaction],
    impressions: Sequence[Impression] = (),
    items: Sequence[Item] | None = None,
) -> Path:
    """Writes the tables of an accepted dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"items": catalogue(30) if items is None else items, "users": [], "impressions": impressions}
    for name, records in {**tables, "interactions": events}.items():
        pq.write_table(to_table(records, name), folder / f"{name}.parquet")
    return folder


@dataclass
class Built:
    """A features folder and what the step said of it."""

    folder: Path
    summary: FeatureSummary

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table; events by user, time and id, as those of one part are."""
        path = self.folder / f"{name}.parquet"
        rows = pq.read_table(path if path.exists() else self.folder / name).to_pylist()
        if name == "events":
            rows.sort(key=lambda row: (row["user_id"], row["timestamp"], row["event_id"]))
        return rows  # type: ignore[no-any-return]

    def events(self) -> dict[str, dict[str, Any]]:
        """Event id -> row, with what the days before its own say of its item."""
        past = {(row.pop("item_id"), row.pop("day")): row for row in self.rows("trailing")}
        day = timedelta(days=1)
        return {
            row["event_id"]: {**row, **past[row["item_id"], (row["timestamp"] - EPOCH) // day]}
            for row in self.rows("events")
        }

    def requests(self) -> dict[str, dict[str, Any]]:
        """Request id -> row."""
        return {row["request_id"]: row for row in self.rows("requests")}


def build(dataset: Path, out: Path, data: DataConfig | None = None, cache: Path | None = None, **config: Any) -> Built:
    """Builds features; keyword arguments are of `FeatureConfig`."""
    settings = FeatureConfig(**config)
    return Built(out, build_features(dataset, out, settings, data or DataConfig(), TrainingConfig(), cache))


def split_of(row: dict[str, Any], summary: FeatureSummary) -> str:
    """The split of an event that was not late."""
    names = ("train_until", "validation_from", "validation_until", "test_from")
    bounds = [datetime.fromisoformat(getattr(summary, name)) for name in names]
    return ["train", "gap", "validation", "gap", "test"][sum(row["timestamp"] >= bound for bound in bounds)]


def random_events(count: int, seed: int, users: int = 12, items: int = 30, hours: int = 24 * 40) -> list[Interaction]:
    """Events of several types; a third share their instant with another event of their user."""
    rng = random.Random(seed)
    events: list[Interaction] = []
    for n in range(count):
        user, hour = f"u{rng.randrange(users)}", rng.randrange(hours * 4) / 4
        if events and rng.random() < 0.33:
            twin = rng.choice(events)
            user, hour = twin.user_id, (twin.timestamp - START) / timedelta(hours=1)
        kind = rng.choice(["view", "click", "click", "purchase"])
        events.append(event(f"e{n:04d}", user, f"i{min(int(rng.expovariate(0.2)), items - 1):02d}", hour, kind))
    return events
