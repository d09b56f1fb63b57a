"""A bundle with the interest model on generated events, for what is measured of a model whatever it has learned."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.measure import measure, say

USERS: Final = 600
ITEMS: Final = 3_000
LISTS: Final = 6
"""Impressions a user; few, since how well the bundle ranks is not measured."""


def make(work: Path) -> Path:
    """Makes it in `work`, and says what training took."""
    paths = {name: str(work / name) for name in ("source", "dataset", "features", "bundle", "checkpoints")}
    measure("generate", folder=paths["source"], users=USERS, items=ITEMS, impressions_per_user=LISTS)
    measure("ingest", source=paths["source"], folder=paths["dataset"])
    measure("features", dataset=paths["dataset"], folder=paths["features"])
    told = {"features": paths["features"], "folder": paths["bundle"], "checkpoints": paths["checkpoints"]}
    say(measure("bundle", overrides={"training.interest.epochs": 1, "training.refit.enabled": False}, **told))
    return work / "bundle"
