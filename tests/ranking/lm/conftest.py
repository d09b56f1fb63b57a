"""The re-ranker that learned what goes together, trained once."""

from __future__ import annotations

import pytest

from liverank.config.training import InterestConfig, TrainingConfig
from liverank.ranking.lm.fitting import fit_lm
from tests.ranking.hidden_pattern import shop
from tests.ranking.lm.tiny_models import encoder
from tests.ranking.lm.together import LM, WORDS, blind, data_of


@pytest.fixture(scope="session")
def config(tmp_path_factory):
    model = encoder(tmp_path_factory.mktemp("model"), WORDS, layers=1)
    lm = LM.model_copy(update={"model": str(model)})
    return TrainingConfig(threads=1, seed=3, device="cpu", interest=InterestConfig(enabled=False), lm=lm)


@pytest.fixture(scope="session")
def world():
    return shop()


@pytest.fixture(scope="session")
def goods(world):
    return data_of(world)


@pytest.fixture(scope="session")
def tuned(goods, config, tmp_path_factory):
    return fit_lm(goods, blind(goods, config), config, tmp_path_factory.mktemp("checkpoints"))
