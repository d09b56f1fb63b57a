"""A history read once for all candidates gives what each candidate alone with it would."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liverank.config.lm import LmConfig
from liverank.errors import ConfigError
from liverank.ranking.lm import masked_reader
from liverank.ranking.lm.loading import is_decoder, load_scorer
from liverank.ranking.lm.masked_reader import MaskedReader
from liverank.ranking.lm.shared_encoder import SharedEncoder
from liverank.ranking.lm.training import candidate_block, training_precision
from liverank.text import PACKAGED, LanguageModelError, load_model
from tests.ranking.lm.tiny_models import decoder, encoder

CPU = torch.device("cpu")
WORDS = [f"w{at}" for at in range(50)]
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    return {
        "bert": encoder(base / "bert", WORDS),
        "distilbert": encoder(base / "distilbert", WORDS, kind="distilbert"),
        "decoder": decoder(base / "decoder", WORDS),
    }


def scorer_of(folder, **settings):
    _, scorer = load_scorer(str(folder), LmConfig(history_tokens=64, **settings), CPU)
    torch.manual_seed(2)
    torch.nn.init.normal_(scorer.linear.weight, std=0.3)
    return scorer.eval()


def batch(histories=2, candidates=5):
    """Token ids of unequal lengths, padded with 0, and where they are real."""
    rng = np.random.default_rng(0)

    def texts(*shape):
        ids = torch.from_numpy(rng.integers(4, 54, shape))
        real = torch.arange(shape[-1]) < torch.from_numpy(rng.integers(2, shape[-1] + 1, shape[:-1]))[..., None]
        return ids.where(real, 0), real

    return texts(histories, 9), texts(histories, candidates, 6)


KINDS = [("bert", 1), ("bert", 2), ("bert", 0), ("distilbert", 0), ("decoder", 0), ("decoder", 1)]


@pytest.mark.parametrize(("name", "layers"), KINDS)
def test_together_is_as_alone(folders, name, layers):
    scorer = scorer_of(folders[name], joint_layers=layers)
    (ids, real), (candidate_ids, candidate_real) = batch()
    with torch.no_grad():
        together = scorer((ids, real), (candidate_ids, candidate_real))
        for user in range(2):
            own = slice(None, int(real[user].sum()))
            for place in range(5):
                text = slice(None, int(candidate_real[user, place].sum()))
                alone = scorer(
                    (ids[user : user + 1, own], real[user : user + 1, own]),
                    (candidate_ids[user, place, text][None, None], candidate_real[user, place, text][None, None]),
                )
                assert float(alone) == pytest.approx(float(together[user, place]), abs=TOLERANCE)


@pytest.mark.parametrize(("name", "layers"), KINDS)
def test_a_history_counts_and_other_candidates_do_not(folders, name, layers):
    scorer = scorer_of(folders[name], joint_layers=layers)
    (ids, real), (candidate_ids, candidate_real) = batch(1)
    other = candidate_ids.clone()
    other[0, 1:] = other[0, 1:].roll(7, -1) + candidate_real[0, 1:] * 1
    with torch.no_grad():
        scores = scorer((ids, real), (candidate_ids, candidate_real))
        beside = scorer((ids, real), (other, candidate_real))
        elsewhere = scorer((ids.where(~real, 5), real), (candidate_ids, candidate_real))
    assert float(beside[0, 0]) == pytest.approx(float(scores[0, 0]), abs=TOLERANCE)
    assert abs(float(elsewhere[0, 0]) - float(scores[0, 0])) > 1e-3


def test_the_encoders_own_layers_and_a_block_mask_agree(folders):
    """Two ways to the same attention: over the modules of BERT, and by a mask that BERT itself heeds."""
    shared = scorer_of(folders["bert"], joint_layers=0)
    masked = scorer_of(folders["bert"], joint_layers=0)
    masked.reader = MaskedReader(masked.reader.model, causal=False)
    history, candidates = batch()
    with torch.no_grad():
        torch.testing.assert_close(shared(history, candidates), masked(history, candidates), atol=TOLERANCE, rtol=0)


def test_keys_and_values_kept_are_as_good_as_the_history_read_again(folders, monkeypatch):
    scorer = scorer_of(folders["decoder"])
    history, (ids, real) = batch(1, 7)
    read_again = scorer(history, (ids, real)).detach()  # with gradients nothing is kept
    monkeypatch.setattr(masked_reader, "TOKENS_AT_ONCE", 12)  # two candidates in a pass
    with torch.no_grad():
        states = scorer.reader.read(*history)
        for _ in range(2):  # and reading candidates leaves no trace
            torch.testing.assert_close(scorer.scores(states, ids, real), read_again, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("name", "layers"), [("bert", 1), ("bert", 0), ("distilbert", 1), ("decoder", 1)])
def test_only_the_joint_layers_are_trained(folders, name, layers):
    if name == "distilbert":
        with pytest.raises(LanguageModelError, match="joint_layers to 0"):
            scorer_of(folders[name], joint_layers=layers)
        return
    scorer = scorer_of(folders[name], joint_layers=layers)
    scorer.train()
    history, candidates = batch()
    scorer(history, candidates).square().sum().backward()
    moved = {name for name, of in scorer.named_parameters() if of.grad is not None and of.grad.abs().sum() > 0}
    assert moved <= scorer.trained().keys()
    in_layers = {name for name in moved if ".layer" in name}
    last = 1 if name == "decoder" else 2
    assert in_layers
    if layers:
        assert all(f".{last}." in name for name in in_layers)


@pytest.mark.parametrize("name", ["bert", "decoder"])
def test_adapters_start_from_the_model_and_are_all_that_is_trained(folders, name):
    plain = scorer_of(folders[name], joint_layers=0)
    adapted = scorer_of(folders[name], joint_layers=0, adapter="lora", lora_rank=4)
    history, candidates = batch()
    with torch.no_grad():
        torch.testing.assert_close(plain(history, candidates), adapted(history, candidates), atol=TOLERANCE, rtol=0)
    trained = set(adapted.trained())
    assert {name for name in trained if "lora" not in name} == {"scale", "linear.weight", "linear.bias"}
    assert sum(of.numel() for of in adapted.trained().values()) < sum(of.numel() for of in plain.trained().values()) / 2


def test_kinds_of_models_are_told_apart(folders):
    assert is_decoder(load_model(str(folders["decoder"]), "cpu")[1].config)
    assert not is_decoder(load_model(str(folders["bert"]), "cpu")[1].config)
    assert not is_decoder(load_model(PACKAGED, "cpu")[1].config)


def test_what_cannot_be_is_refused_with_what_to_do(folders):
    with pytest.raises(LanguageModelError, match=r"has 3 layers; training\.lm\.joint_layers is 4"):
        scorer_of(folders["bert"], joint_layers=4)


def test_a_model_whose_scores_depend_on_the_others_is_refused(tmp_path):
    """MPNet adds a bias by the distance of tokens in the row, whatever the positions say."""
    folder = encoder(tmp_path / "mpnet", WORDS, kind="mpnet")
    with pytest.raises(LanguageModelError, match="does not read candidates apart"):
        scorer_of(folder, joint_layers=0)


def test_a_setting_without_effect_is_refused(folders):
    with pytest.raises(ConfigError, match=r"gradient_checkpointing has no effect"):
        scorer_of(folders["bert"], joint_layers=1, gradient_checkpointing=True)
    assert scorer_of(folders["decoder"], gradient_checkpointing=True).trained()


def test_kept_states_are_bounded(folders):
    _, scorer = load_scorer(str(folders["bert"]), LmConfig(joint_layers=1, cache_mib=0, history_tokens=64), CPU)
    history, candidates = batch()
    with torch.no_grad():
        first = scorer(history, candidates)
        assert isinstance(scorer.reader, SharedEncoder)
        assert len(scorer.reader._kept) <= 1
        torch.testing.assert_close(scorer(history, candidates), first, atol=0, rtol=0)


def test_training_is_coarse_only_where_the_processor_has_units_for_it(monkeypatch):
    def dtype_of_products(config: LmConfig) -> torch.dtype:
        with training_precision(config, torch.device("cpu")):
            return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert dtype_of_products(LmConfig()) == torch.bfloat16
    assert dtype_of_products(LmConfig(precision="float32")) == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert dtype_of_products(LmConfig()) == torch.float32


def test_what_is_kept_of_a_candidate_is_made_once(tmp_path):
    encoder(tmp_path, ["red", "desk", "lamp"], layers=2)
    _, model = load_model(str(tmp_path), "cpu")
    reader = SharedEncoder(model, joint_layers=1, cache_mib=1)
    desk, lamp = np.asarray([2, 5, 6, 3]), np.asarray([2, 7, 3])
    assert reader.unread(desk)
    reader.prepare(desk)
    assert (reader.unread(desk), reader.unread(lamp)) == (False, True)
    ids, real = candidate_block([[desk, lamp]], 0)
    states = reader.read(torch.from_numpy(desk)[None], torch.ones(1, 4, dtype=torch.bool))
    reader.against(states, torch.from_numpy(ids), torch.from_numpy(real))
    assert not reader.unread(lamp)
    assert not SharedEncoder(model, joint_layers=0, cache_mib=1).unread(desk)
