"""A small shop's features, and searches on it that take seconds: the texts are embedded once for all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liverank.config import Config, DataConfig, FeatureConfig, TrainingConfig, load_config
from liverank.data.ingest import ingest
from liverank.data.synthetic import generate
from liverank.data.tastes import SyntheticSettings
from liverank.features.build import build_features
from liverank.ranking.data import load_catalogue
from liverank.text import LanguageModel, embed_with_cache

SPACE = {
    "count.window": {"low": 1, "high": 9},
    "count.query_decay": {"low": 0.3, "high": 1.0},
    "count.learn_weights": {"choices": [True, False]},
}
SETTINGS: dict[str, Any] = {
    "features.history_length": 12,
    "training.interest.enabled": False,
    "training.count.window": 5,
    "evaluation.bootstrap_samples": 100,
    "tuning.study": "shop",
    "tuning.trials": 5,
    "tuning.folds": 2,
    "tuning.window_share": 0.12,
    "tuning.max_requests": 60,
    "tuning.log_to_mlflow": False,
    "tuning.space": SPACE,
}


@pytest.fixture(scope="session")
def features(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("tuning-shop")
    generate(SyntheticSettings(users=80, items=40, days=20, impressions_per_user=8, seed=3), base / "source")
    data = DataConfig(source=str(base / "source"))
    ingest(data, base / "dataset")
    config = FeatureConfig(history_length=12, candidates=20, max_requests=40)
    build_features(base / "dataset", base / "features", config, data, TrainingConfig())
    return base / "features"


@pytest.fixture(scope="session")
def embeddings(features, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("embeddings")
    embed_with_cache(LanguageModel(max_tokens=TrainingConfig().max_tokens), load_catalogue(features).texts, folder)
    return folder


@pytest.fixture
def configured(embeddings) -> Callable[..., Config]:
    """A configuration with a workspace in which the texts are embedded."""

    def configure(workspace: Path, **more: Any) -> Config:
        config = load_config(overrides={**SETTINGS, "workspace": str(workspace), **more})
        place = workspace / "tuning" / config.tuning.study / "checkpoints" / "0"
        if not place.exists():
            shutil.copytree(embeddings, place)
        return config

    return configure
