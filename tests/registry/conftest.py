"""Two real bundles with their evaluations, made once for all tests of the registry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from liverank.config import Config, EvaluationConfig, RegistryConfig
from liverank.evaluation.run import evaluate
from liverank.registry import Lineage, RegisteredVersion, register
from tests.evaluation.world import write_bundle, write_features

LINEAGE = Lineage(data_hash="d" * 64, code_version="0.1.0+abc", pipeline_run_id="run-7")


@dataclass(frozen=True)
class Model:
    """What the steps before registration leave."""

    bundle: Path
    evaluation: Path
    validation: Path

    def register(self, config: RegistryConfig) -> RegisteredVersion:
        return register(self.bundle, self.evaluation, self.validation, config, LINEAGE)


@dataclass(frozen=True)
class Models:
    first: Model
    better: Model
    worse: Model


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Models:
    """`first` is poor but passes as the first one; `better` was judged against it, `worse` against `better`."""
    root = tmp_path_factory.mktemp("models")
    features = write_features(root / "features")
    result = root / "result.json"
    result.write_text(
        json.dumps(
            {
                "ok": True,
                "rows": {"interactions": {"read": 543, "accepted": 540, "set_aside": 3, "rejected": 0}},
                "set_aside": 3,
            }
        ),
        encoding="utf-8",
    )
    poor = write_bundle(features, root / "poor", shuffled=True)
    good = write_bundle(features, root / "good")
    config = EvaluationConfig(bootstrap_samples=100)
    lenient = config.model_copy(update={"gate": config.gate.model_copy(update={"beat_baselines": ()})})
    evaluate(features, poor, root / "first", lenient)
    evaluate(features, good, root / "better", config, poor)
    worse = write_bundle(features, root / "worse", shuffled=True, dimensions=9)
    evaluate(features, worse, root / "judged worse", config, good)
    return Models(
        Model(poor, root / "first", result),
        Model(good, root / "better", result),
        Model(worse, root / "judged worse", result),
    )


def local(folder: Path) -> RegistryConfig:
    """The default registry: SQLite and a folder in a workspace."""
    return Config(workspace=str(folder)).resolved().registry


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """An SQLite store that is ready but empty: making one takes seconds."""
    from liverank.registry import champion

    folder = tmp_path_factory.mktemp("empty")
    assert champion(local(folder)) is None
    return folder / "mlflow.db"


@dataclass(frozen=True)
class Filled:
    """A registry with all three models, for tests that only read."""

    config: RegistryConfig
    first: RegisteredVersion
    better: RegisteredVersion
    worse: RegisteredVersion


@pytest.fixture(scope="session")
def filled(tmp_path_factory, empty_database, models) -> Filled:
    folder = tmp_path_factory.mktemp("filled")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    config = local(folder)
    return Filled(config, *[of.register(config) for of in (models.first, models.better, models.worse)])


@pytest.fixture
def config(tmp_path, empty_database) -> RegistryConfig:
    """A registry of the test's own."""
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    return local(tmp_path)
