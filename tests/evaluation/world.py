"""A tiny world with known tastes: a features folder and bundles over it, written without the steps before."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.config.training import TrainingConfig
from liverank.ranking.baselines import PopularityRanker
from liverank.ranking.blend_learning import fit_blend
from liverank.ranking.bundle_files import save_bundle
from liverank.ranking.count import CountRanker
from liverank.ranking.data import load_catalogue, load_events, load_requests
from liverank.ranking.protocol import Ranker
from liverank.ranking.zero_shot import ZeroShotRanker
from liverank.text import LanguageModel

ITEMS, USERS, TASTES, LISTED = 60, 60, 3, 12
START = datetime(2026, 1, 1, tzinfo=UTC)
END = "2027-01-01T00:00:00+00:00"
_BOUNDS = ("train_until", "validation_from", "validation_until", "test_from")
NOW = START.timestamp() + 60 * 86400


def write_features(
    folder: Path, source: str = "impressions", requests: int = 120, seed: int = 3, validation: int = 0
) -> Path:
    """Users who like one of three kinds of item; the requests hold one item of that kind among others."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    clicks = [(user, item) for user in range(USERS - 6) for item in _liked(rng, user, 10)]
    _write_items(folder, np.bincount([item for _, item in clicks], minlength=ITEMS))
    _write_events(folder, clicks)
    rows = [_request(rng, number, source, clicks) for number in range(requests)]
    rows += [_request(rng, number, source, clicks) | {c.SPLIT: c.VALIDATION} for number in range(validation)]
    pq.write_table(pa.Table.from_pylist(rows, schema=_REQUESTS), folder / "requests.parquet")
    (folder / "split.json").write_text(json.dumps({"hash": "d" * 64, **dict.fromkeys(_BOUNDS, END)}), encoding="utf-8")
    return folder


TRAINING = {
    "refit_events": 1234,
    "seconds": {"blend": 1.5},
    "interest": {"epochs": 2, "losses": [2.0, 1.0], "ndcgs": [0.1, 0.2], "device": "cpu", "processes": 2},
}
"""What the manifest says of a training that there was not."""


def write_attributes(features: Path) -> None:
    """Adds who offers each item, and the age and plan of half of the users."""
    items = pq.read_table(features / "items.parquet")
    offered = pa.array([[("provider", f"shop {row % 4}")] if row % 5 else [] for row in range(ITEMS)], _PAIRS)
    pq.write_table(items.append_column(c.ATTRIBUTES, offered), features / "items.parquet")
    told = [[("age", "old" if user % 4 else "young"), ("plan", f"plan {user}")] for user in range(0, USERS, 2)]
    users = {c.USER_ID: [f"u{user}" for user in range(0, USERS, 2)], c.ATTRIBUTES: pa.array(told, _PAIRS)}
    pq.write_table(pa.table(users), features / "users.parquet")


def write_bundle(
    features: Path, out: Path, shuffled: bool = False, dimensions: int = 8, config: TrainingConfig | None = None
) -> Path:
    """Rankers on the features without the trained model; `shuffled` learns from permuted items: clearly worse."""
    rng = np.random.default_rng(5)
    catalogue = load_catalogue(features)
    order = rng.permutation(ITEMS) if shuffled else np.arange(ITEMS)
    directions = (np.eye(dimensions)[np.arange(ITEMS) % TASTES] + 0.3 * rng.normal(size=(ITEMS, dimensions)))[order]
    catalogue = catalogue.with_embeddings(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    events = load_events(features, catalogue)
    events = replace(events, item=order[events.item].astype(np.int32))
    config = config or TrainingConfig()
    rankers: dict[str, Ranker] = {
        "count": CountRanker.fit(catalogue, events, config.count, now=NOW),
        "popularity": PopularityRanker.fit(catalogue, events, now=NOW),
        "zero-shot": ZeroShotRanker(catalogue, LanguageModel()),
    }
    rankers["blend"], _ = fit_blend(rankers, load_requests(features, c.VALIDATION))
    facts = {"data_hash": "d" * 64, "created_at": "2026-03-01", "training": TRAINING}
    save_bundle(out, catalogue, rankers, config, facts)
    return out


def _liked(rng: np.random.Generator, user: int, count: int) -> list[int]:
    kind = np.arange(user % TASTES, ITEMS, TASTES)
    chances = 1 / np.arange(1, len(kind) + 1)
    return [int(item) for item in rng.choice(kind, count, p=chances / chances.sum())]


def _write_items(folder: Path, counts: np.ndarray) -> None:
    names = [f"i{item}" for item in range(ITEMS)]
    kinds = [f"kind {item % TASTES}" for item in range(ITEMS)]
    table = {
        c.ITEM_ID: names,
        c.TITLE: [f"Item {item}" for item in range(ITEMS)],
        c.TEXT: [""] * ITEMS,
        c.CATEGORY: kinds,
        "train_events": counts.astype(np.int64),
    }
    pq.write_table(pa.table(table), folder / "items.parquet")


def _write_events(folder: Path, clicks: list[tuple[int, int]]) -> None:
    times = [START + timedelta(hours=number) for number in range(len(clicks))]
    table = pa.table(
        {
            c.EVENT_ID: [f"e{number}" for number in range(len(clicks))],
            c.USER_ID: [f"u{user}" for user, _ in clicks],
            c.ITEM_ID: [f"i{item}" for _, item in clicks],
            c.TYPE: ["click"] * len(clicks),
            c.WEIGHT: np.ones(len(clicks)),
            c.TIMESTAMP: pa.array(times, pa.timestamp("us", tz="UTC")),
            c.KNOWN_AT: pa.array(times, pa.timestamp("us", tz="UTC")),
        }
    )
    (folder / "events").mkdir()
    pq.write_table(table, folder / "events" / "2026-01-01.parquet")


def _request(rng: np.random.Generator, number: int, source: str, clicks: list[tuple[int, int]]) -> dict[str, object]:
    user = number % USERS
    seen = [f"i{item}" for owner, item in clicks if owner == user]
    right = _liked(rng, user, 1)[0]
    others = rng.permutation([item for item in range(ITEMS) if item != right])[: LISTED - 1]
    listed = rng.permutation(np.append(others, right))
    labels = (listed == right).astype(float)
    if number % 10 == 9:
        labels[:] = 0
    return {
        c.REQUEST_ID: f"r{number}",
        c.USER_ID: f"u{user}",
        c.TIMESTAMP: START + timedelta(days=55, minutes=number),
        c.SURFACE: "home" if number % 2 else "search",
        c.CONTEXT: [("device", "phone" if number % 3 else "tablet")],
        c.SPLIT: c.TEST,
        c.SOURCE: source,
        c.HISTORY_ITEMS: seen,
        c.HISTORY_TYPES: ["click"] * len(seen),
        c.HISTORY_TIMES: [START.timestamp() + 3600.0 * place for place in range(len(seen))],
        c.CANDIDATES: [f"i{item}" for item in listed],
        c.CANDIDATE_SCORES: None,
        c.LABELS: labels.tolist(),
        c.TRUTH: [f"i{right}"] if labels.any() else [],
    }


_PAIRS = pa.map_(pa.string(), pa.string())
_STRINGS = pa.list_(pa.string())
_REQUESTS = pa.schema(
    [
        (c.REQUEST_ID, pa.string()),
        (c.USER_ID, pa.string()),
        (c.TIMESTAMP, pa.timestamp("us", tz="UTC")),
        (c.SURFACE, pa.string()),
        (c.CONTEXT, pa.map_(pa.string(), pa.string())),
        (c.SPLIT, pa.string()),
        (c.SOURCE, pa.string()),
        (c.HISTORY_ITEMS, _STRINGS),
        (c.HISTORY_TYPES, _STRINGS),
        (c.HISTORY_TIMES, pa.list_(pa.float64())),
        (c.CANDIDATES, _STRINGS),
        (c.CANDIDATE_SCORES, pa.list_(pa.float32())),
        (c.LABELS, pa.list_(pa.float32())),
        (c.TRUTH, _STRINGS),
    ]
)
