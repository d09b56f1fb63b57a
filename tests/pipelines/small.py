"""A dataset and a configuration on which the whole pipeline takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from liverank.config import Config, load_config

SETTINGS: dict[str, Any] = {
    "features.max_requests": 60,
    "features.candidates": 20,
    "training.interest.epochs": 1,
    "training.interest.dimension": 16,
    "training.interest.layers": 1,
    "training.threads": 1,
    "evaluation.bootstrap_samples": 100,
    "evaluation.gate.beat_baselines": [],
    "evaluation.gate.min_requests": 5,
}


def write_data(folder: Path) -> Path:
    """A dataset folder with a few dirty rows."""
    from liverank.data.synthetic import generate
    from liverank.data.tastes import SyntheticSettings

    generate(SyntheticSettings(users=80, items=40, days=20, impressions_per_user=5, seed=7, dirt=0.01), folder)
    return folder


def configuration(workspace: Path, data: Path, **more: Any) -> Config:
    """The small configuration on `data`."""
    return load_config(overrides={**SETTINGS, "workspace": str(workspace), "data.source": str(data), **more})
