"""One leave-one-out run with all its parts, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from liverank.config import Config, load_config
from liverank.evaluation.protocols.results import ProtocolResult
from liverank.evaluation.protocols.run import run_protocol
from liverank.evaluation.protocols.settings import protocol_settings
from tests.evaluation.protocols.made import chains


@pytest.fixture(scope="session")
def config() -> Config:
    small = {"dimension": 16, "layers": 1, "history_length": 8, "batch_steps": 128, "epochs": 2}
    overrides = {f"training.interest.{name}": value for name, value in small.items()}
    return load_config(overrides={**overrides, "evaluation.bootstrap_samples": 100})


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    return chains(tmp_path_factory.mktemp("chains"))


@pytest.fixture(scope="session")
def left_out(dataset, config, tmp_path_factory) -> tuple[Path, ProtocolResult]:
    out = tmp_path_factory.mktemp("left-out")
    settings = protocol_settings({"protocol": "leave-one-out", "seeds": 2, "lists": (5, 20)})
    return out, run_protocol(dataset, out, settings, config)
