"""Training that diverges: it ends with one line that says what to do, and leaves no state that another run takes up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liverank.config.training import DistilConfig, TrainingConfig
from liverank.errors import TrainingError
from liverank.ranking import interest_steps
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.data import TrainingData
from liverank.ranking.distil import teachers_of
from liverank.ranking.divergence import check_converging
from liverank.ranking.interest import InterestRanker, fit_interest
from liverank.ranking.listwise import mean_ndcg
from liverank.ranking.text_tuning import tune
from tests.ranking.hidden_pattern import CONFIG, TEXT, shop
from tests.ranking.ranks_world import config_of, world

SAID = r"The training of the interest model diverged.* Set training\.interest\.learning_rate below 1e\+3\d\."
FAR = 1e36


def fitted(path, config: TrainingConfig, validate=None) -> InterestRanker:
    catalogue, events = world()
    return fit_interest(catalogue, events, config, None, validate, Checkpoint(path))[0]


@pytest.mark.parametrize("block", ["attention", "gated", "hstu", "lstm"])
@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_a_rate_that_is_too_high_is_named(tmp_path, block, averaging):
    config = config_of(block=block, learning_rate=FAR, averaging=averaging, checkpoint_steps=10_000)
    with pytest.raises(TrainingError, match=SAID):
        fitted(tmp_path / "checkpoint.safetensors", config)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_within_an_epoch_either(tmp_path):
    with pytest.raises(TrainingError, match=SAID):
        fitted(tmp_path / "checkpoint.safetensors", config_of(learning_rate=FAR, checkpoint_steps=1))
    for path in tmp_path.iterdir():
        assert all(tensor.isfinite().all() for tensor in tensors_of(path).values())


def tensors_of(path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_rows_of_a_large_catalogue_are_looked_at_too(tmp_path, monkeypatch):
    monkeypatch.setattr(interest_steps, "LAZY_ITEMS", 1)
    config = config_of(learning_rate=FAR, full_softmax_items=4, negatives=4)
    with pytest.raises(TrainingError, match=SAID):
        fitted(tmp_path / "checkpoint.safetensors", config)


def test_finite_weights_with_scores_that_are_none_are_not_judged(tmp_path):
    def validate(ranker: InterestRanker) -> float:
        return mean_ndcg([np.asarray([np.nan, 1.0], np.float32)], [np.eye(2, dtype=np.float32)[0]])

    with pytest.raises(TrainingError, match=r"diverged.* below 0\.003\."):
        fitted(tmp_path / "checkpoint.safetensors", config_of(), validate)


def test_a_loss_that_is_no_number_is_seen_where_the_weights_still_are():
    weights = [torch.ones(3), torch.ones(2, dtype=torch.long)]
    check_converging("model", "rate", 1.0, [0.5, 0.25], weights)
    for loss in (float("nan"), float("inf")):
        with pytest.raises(TrainingError, match="Set rate below 1"):
            check_converging("model", "rate", 1.0, [0.5, loss], weights)
    with pytest.raises(TrainingError, match="diverged"):
        check_converging("model", "rate", 1.0, [], [*weights, torch.tensor([1.0, float("nan")])])


def test_teachers_that_are_trained_first_say_the_same(tmp_path):
    catalogue, events = world()
    config = config_of(learning_rate=FAR, distil=DistilConfig(seeds=1, dimension=16, layers=1))

    class Encoder:
        def fingerprint(self) -> str:
            return "none"

    with pytest.raises(TrainingError, match=SAID):
        teachers_of(TrainingData(catalogue, events, []), Encoder(), config, tmp_path, None)


def test_tuning_of_texts_says_the_same(tmp_path):
    made = shop()
    config = CONFIG.model_copy(update={"text": TEXT.model_copy(update={"learning_rate": 1e38, "judge_steps": 40})})
    with pytest.raises(
        TrainingError, match=r"language model diverged.* Set training\.text\.learning_rate below 1e\+38"
    ):
        tune(made.catalogue.texts, made.events, config, Checkpoint(tmp_path / "text.safetensors"))
    assert list(tmp_path.iterdir()) == []
