"""What the benchmark of the server ranks: a generated shop, and a bundle of it for each kind of ranker."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import measure, say

USERS: Final = 600
ITEMS: Final = 3_000
LISTS: Final = 6
"""Impressions a user; few, since how well the bundles rank is not measured."""
ASKING: Final = 50
HISTORY: Final = 50
SEED: Final = 7
COUNT, INTEREST, CASCADE = "count", "interest", "cascade"
_BASE: Final[dict[str, Any]] = {"training.refit.enabled": False, "training.interest.epochs": 1}
BUNDLES: Final[dict[str, dict[str, Any]]] = {
    COUNT: {**_BASE, "training.interest.enabled": False},
    INTEREST: _BASE,
    CASCADE: {
        **_BASE,
        "training.lm.enabled": True,
        "training.lm.deploy": "on",
        "training.lm.lists": 200,
        "training.lm.steps": 4,
        "training.lm.judge_steps": 4,
        "training.lm.judge_lists": 20,
    },
}
"""Settings of each: the blend of counts, texts and linear weights; with the interest model; with the language model on
top. A few steps of training make a model as fast as many do."""


@dataclass(frozen=True)
class World:
    """Where what is served lies, and who asks."""

    bundles: dict[str, Path]
    items: list[str]
    users: list[str]
    histories: dict[str, list[str]]
    """Item ids of each user's events, oldest first."""
    titles_file: Path
    histories_file: Path


def make(work: Path) -> World:
    """Makes data, bundles and histories."""
    import pyarrow.parquet as pq

    at = {name: str(work / name) for name in ("source", "dataset", "features")}
    measure("generate", folder=at["source"], users=USERS, items=ITEMS, impressions_per_user=LISTS)
    measure("ingest", source=at["source"], folder=at["dataset"])
    measure("features", dataset=at["dataset"], folder=at["features"])
    for name, overrides in BUNDLES.items():
        paths = {"folder": str(work / name), "checkpoints": str(work / f"{name}-checkpoints")}
        say(measure("bundle", features=at["features"], overrides=overrides, **paths).named(f"bundle: {name}"))
    told = pq.read_table(work / "dataset" / "items.parquet", columns=["item_id", "title"]).to_pydict()
    titles = dict(zip(told["item_id"], told["title"], strict=True))
    items, draw = list(titles), random.Random(SEED)
    users = [f"user-{number}" for number in range(ASKING)]
    histories = {user: [draw.choice(items) for _ in range(HISTORY)] for user in users}
    files = work / "titles.json", work / "histories.json"
    for file, content in zip(files, (titles, histories), strict=True):
        file.write_text(json.dumps(content))
    return World({name: work / name for name in BUNDLES}, items, users, histories, *files)
