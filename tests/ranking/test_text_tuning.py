"""Tuning of the language model: what it learns from, that it learns, and that it is only used where it helps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from liverank.errors import BundleError
from liverank.events import Item
from liverank.ranking.bundle_files import TUNED_LAYERS, load_bundle, save_bundle
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.data import TrainingData
from liverank.ranking.fit import fit_rankers
from liverank.ranking.ranks import Ranks
from liverank.ranking.significance import surely_positive
from liverank.ranking.text_tuning import _Run, contrastive_loss, tune
from liverank.ranking.tuned_model import tuned_language_model, wanted
from liverank.text import LanguageModel, LanguageModelError, embed_with_cache
from liverank.text_layers import TunedLayers
from tests.ranking.hidden_pattern import CONFIG, TEXT, shop, shuffled


@pytest.fixture(scope="module")
def world():
    return shop()


@pytest.fixture(scope="module")
def tuned(world, tmp_path_factory):
    """The tuned model, the report and the folder that keeps them."""
    folder = tmp_path_factory.mktemp("tuned")
    return *tuned_language_model(world.catalogue.texts, world.events, CONFIG, folder), folder


def test_unseen_items_come_to_lie_with_what_goes_together_with_them(tuned):
    model, report, _ = tuned
    assert report.kept
    assert report.plain_recall < 0.3
    assert report.tuned_recall > report.plain_recall + 0.3
    together, apart = (
        model.encode(["strange lamp", "strange otter", "strange cheese"])[0] @ model.encode(["my otter", "my cheese"]).T
    )
    assert together > apart + 0.1


def test_without_a_pattern_the_published_model_stays(world, tmp_path):
    chaos = shuffled(world)
    config = CONFIG.model_copy(update={"text": TEXT.model_copy(update={"steps": 8, "judge_steps": 4})})
    model, report = tuned_language_model(chaos.catalogue.texts, chaos.events, config, tmp_path)
    assert not report.kept
    assert model.tuned is None
    assert model.fingerprint() == LanguageModel().fingerprint()


def test_what_was_tuned_is_taken_up_again_by_every_process(world, tuned, monkeypatch):
    model, report, folder = tuned
    monkeypatch.setattr("liverank.ranking.tuned_model.tune", None)
    for rank in (0, 1):
        again, same = tuned_language_model(world.catalogue.texts, world.events, CONFIG, folder, Ranks(rank, 2))
        assert (again.fingerprint(), same) == (model.fingerprint(), report)


def test_processes_that_share_no_folder_are_told(world, tmp_path, monkeypatch):
    clock = iter(range(0, 10**9, 10**5))
    monkeypatch.setattr("liverank.ranking.tuned_model.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr("liverank.ranking.tuned_model.time.sleep", lambda seconds: None)
    with pytest.raises(Exception, match="first process left no tuned language model") as caught:
        tuned_language_model(world.catalogue.texts, world.events, CONFIG, tmp_path, Ranks(1, 2))
    assert "workspace folder" in caught.value.hint


def test_off_and_auto_without_a_gpu_leave_the_model_alone(world, tmp_path):
    for choice in ("off", "auto"):
        config = CONFIG.model_copy(update={"text": TEXT.model_copy(update={"tune": choice})})
        assert not wanted(config)
        model, report = tuned_language_model(world.catalogue.texts, world.events, config, tmp_path)
        assert (model.tuned, report, list(tmp_path.iterdir())) == (None, None, [])


def test_too_little_to_judge_on_is_no_error(tmp_path):
    few = shop(users=300)
    texts = few.catalogue.texts[:8]
    model, report = tuned_language_model(texts, few.events.where(few.events.item < 8), CONFIG, tmp_path)
    assert (model.tuned, report.kept, report.steps, report.held_out) == (None, False, 0, 2)


# Going on after a kill.


class Killed(BaseException):
    pass


def test_interrupted_it_ends_as_if_it_had_not_been(world, tmp_path, monkeypatch):
    text = TEXT.model_copy(update={"steps": 3, "judge_steps": 2, "batch": 8, "layers": 1})
    config = CONFIG.model_copy(update={"text": text})
    whole = ended(world, config, tmp_path / "whole.safetensors")

    def killed(run, number):
        if number == 2:
            raise Killed
        return step(run, number)

    step = _Run._step
    monkeypatch.setattr(_Run, "_step", killed)
    with pytest.raises(Killed):
        ended(world, config, tmp_path / "parts.safetensors")
    monkeypatch.setattr(_Run, "_step", step)
    parts = ended(world, config, tmp_path / "parts.safetensors")
    assert parts.keys() == whole.keys()
    for name in whole:
        assert torch.equal(parts[name], whole[name]), name


def ended(world, config, path):
    run = _Run(world.catalogue.texts, world.events, config, Checkpoint(path), torch.device("cpu"))
    run.to_the_end()
    return {name: tensor.clone() for name, tensor in run.encoder.tuned.state_dict().items()}


def test_minutes_end_it_and_the_state_is_judged(world, tmp_path):
    text = TEXT.model_copy(update={"minutes": 1e-6, "batch": 4, "layers": 1})
    config = CONFIG.model_copy(update={"text": text})
    _, report = tune(world.catalogue.texts, world.events, config, Checkpoint(tmp_path / "state.safetensors"))
    assert report.steps == 1


# The loss.


def test_loss_is_the_softmax_over_the_batch_without_the_text_itself():
    vectors = torch.eye(3)[[0, 0, 1]] * 1.0
    asked, answer = torch.tensor([0]), torch.tensor([1])
    loss = contrastive_loss(vectors, asked, answer, torch.zeros(3), 0.5)
    assert float(loss) == pytest.approx(np.log(np.exp(2) + 1) - 2)
    often = contrastive_loss(vectors, asked, answer, torch.log(torch.tensor([1.0, 1.0, 0.5])), 0.5)
    assert float(often) == pytest.approx(np.log(np.exp(2) + 2) - 2)


@pytest.mark.parametrize(
    ("gains", "sure"), [([0.0] * 9, False), ([0.1] * 9, True), ([0.5, -0.4] * 9, False), ([], False)]
)
def test_a_gain_must_be_beyond_chance(gains, sure):
    assert surely_positive(np.asarray(gains, np.float32)) is sure


# The layers as an overlay.


def test_saved_and_loaded_layers_give_the_same_vectors(tuned, tmp_path):
    model, _, _ = tuned
    texts = ["strange lamp", "an otter that reads", "x"]
    model.tuned.save(tmp_path / "layers.safetensors")
    again = LanguageModel(tuned=TunedLayers.load(tmp_path / "layers.safetensors"))
    np.testing.assert_array_equal(again.encode(texts), model.encode(texts))
    assert again.fingerprint() == model.fingerprint() != LanguageModel().fingerprint()
    assert np.abs(LanguageModel().encode(texts) - model.encode(texts)).max() > 0.01
    # Two of six layers: nothing else is carried along.
    assert all(name.startswith(("encoder.layer.4.", "encoder.layer.5.")) for name in model.tuned.tensors)
    (tmp_path / "again").mkdir()
    model.tuned.save(tmp_path / "again" / "layers.safetensors")
    assert (tmp_path / "again" / "layers.safetensors").read_bytes() == (tmp_path / "layers.safetensors").read_bytes()


def test_vectors_of_an_older_tuning_do_not_pile_up(tuned, tmp_path):
    model, _, _ = tuned
    embed_with_cache(LanguageModel(), ["lamp"], tmp_path)
    for tensor in (0.0, 1.0):
        tensors = {"encoder.layer.5.output.dense.bias": np.full(384, tensor, np.float32)}
        other = dataclasses.replace(model.tuned, tensors=tensors)
        embed_with_cache(LanguageModel(tuned=other), ["lamp"], tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    assert names[1].startswith("embeddings-tuned-")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"base": "other"}, "other weights"),
        ({"tensors": {"encoder.layer.9.x": np.zeros(1, np.float32)}}, r"has no encoder\.layer\.9\.x"),
        ({"tensors": {"encoder.layer.5.output.dense.bias": np.zeros(3, np.float32)}}, "do not fit"),
    ],
)
def test_layers_of_another_model_are_refused(tuned, changes, says):
    wrong = dataclasses.replace(tuned[0].tuned, **changes)
    with pytest.raises(LanguageModelError, match=says) as caught:
        LanguageModel(tuned=wrong).warm()
    assert "train again" in caught.value.hint


def test_files_that_hold_no_layers_are_refused(tmp_path):
    (tmp_path / "layers.safetensors").write_bytes(b"nothing")
    with pytest.raises(BundleError, match="cannot be read"):
        TunedLayers.load(tmp_path / "layers.safetensors")


def test_a_bundle_carries_them_to_new_items(world, tuned, tmp_path):
    model, _, folder = tuned
    data = TrainingData(world.catalogue, world.events, [], "x")
    fitted = fit_rankers(data, CONFIG, folder)
    assert fitted.text["kept"]
    assert fitted.model.fingerprint() == model.fingerprint()
    save_bundle(tmp_path / "bundle", fitted.catalogue, fitted.rankers, CONFIG, {}, fitted.model.tuned)
    bundle = load_bundle(tmp_path / "bundle")
    assert TUNED_LAYERS in bundle.manifest["files"]
    bundle.add_items([Item(item_id="new", title="strange otter")])
    np.testing.assert_allclose(bundle.catalogue.embeddings[-1], model.encode(["strange otter"])[0], atol=1e-6)
    (tmp_path / "bundle" / TUNED_LAYERS).write_bytes(b"nothing")
    with pytest.raises(BundleError, match="altered or truncated"):
        load_bundle(tmp_path / "bundle")
