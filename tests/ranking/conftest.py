"""A small synthetic shop, its features and one trained bundle, made once for all ranking tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from liverank.config import DataConfig, FeatureConfig, TrainingConfig
from liverank.config.training import InterestConfig
from liverank.data.ingest import ingest
from liverank.data.synthetic import generate
from liverank.data.tastes import SyntheticSettings
from liverank.features.build import build_features
from liverank.ranking.bundle import Bundle
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.data import TrainingData, load_training_data
from liverank.ranking.fit import FitSummary, fit

SMALL = TrainingConfig(
    threads=1,
    feature_ranker=True,
    interest=InterestConfig(dimension=16, layers=1, history_length=12, batch_steps=128, epochs=3, checkpoint_steps=2),
)


@pytest.fixture(scope="session")
def features(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("shop")
    generate(SyntheticSettings(users=150, items=90, days=20, impressions_per_user=6, seed=3), base / "source")
    data = DataConfig(source=str(base / "source"))
    ingest(data, base / "dataset")
    config = FeatureConfig(history_length=12, candidates=20, max_requests=60, max_train_requests=50)
    build_features(base / "dataset", base / "features", config, data, SMALL)
    return base / "features"


@pytest.fixture(scope="session")
def data(features) -> TrainingData:
    return load_training_data(features)


@pytest.fixture(scope="session")
def fitted(features, tmp_path_factory) -> tuple[Path, FitSummary]:
    base = tmp_path_factory.mktemp("fit")
    return base / "bundle", fit(features, base / "bundle", SMALL, base / "checkpoints")


@pytest.fixture(scope="session")
def bundle(fitted) -> Bundle:
    return load_bundle(fitted[0])
