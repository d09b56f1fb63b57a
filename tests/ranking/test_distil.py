"""Distillation: the student comes nearer to its teachers, and to a truth that they know better."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from liverank.config.training import DistilConfig, InterestConfig, RefitConfig, TrainingConfig
from liverank.errors import BundleError, ConfigError
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.compress import CompressionSettings, compress, compressed
from liverank.ranking.data import Catalogue, Events, TrainingData
from liverank.ranking.distil import teacher_config, teachers_of
from liverank.ranking.fit import fit
from liverank.ranking.interest import InterestRanker, fit_interest
from liverank.ranking.interest_model import Asked, Window
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.ranking.teachers import Teacher, Teachers
from tests.ranking.conftest import SMALL
from tests.ranking.small_model import small_catalogue, small_ranker
from tests.ranking.test_count import catalogue_of, events_of

ITEMS = 12
DAY = 86400.0


def truth() -> np.ndarray:
    """Chance of each item after each, `[ITEMS, ITEMS]`: five of them, unequally."""
    shares = np.asarray([0.4, 0.25, 0.15, 0.12, 0.08])
    chances = np.zeros((ITEMS, ITEMS))
    for item in range(ITEMS):
        chances[item, (item * 5 + np.arange(5) * 2 + 1) % ITEMS] += shares
    return chances


def walks(users: int, seed: int, length: int = 8) -> Events:
    draw, chances, rows = np.random.default_rng(seed), truth(), []
    for user in range(users):
        item = int(draw.integers(ITEMS))
        for at in range(length):
            rows.append((user, item, float(at)))
            item = int(draw.choice(ITEMS, p=chances[item]))
    return events_of(rows)


def shop() -> Catalogue:
    catalogue = catalogue_of(*(f"t{at}" for at in range(ITEMS))).with_embeddings(np.eye(ITEMS, dtype=np.float32))
    return dataclasses.replace(catalogue, train_events=np.full(ITEMS, 50))


def settings(**given) -> TrainingConfig:
    sizes = {"dimension": 16, "layers": 1, "history_length": 8, "batch_steps": 128, "epochs": 8, "dropout": 0.1}
    fixed = {"learning_rate": 0.01, "label_smoothing": 0.0, "word_columns": 0, "text_hidden": 16}
    return TrainingConfig(threads=1, interest=InterestConfig.model_validate({**sizes, **fixed, **given}))


def trained(events: Events, folder, teachers: Teachers | None = None, **given) -> InterestRanker:
    checkpoint = Checkpoint(folder / "checkpoint.safetensors")
    folder.mkdir()
    return fit_interest(shop(), events, settings(**given), None, None, checkpoint, teachers=teachers)[0]


def chances(ranker: InterestRanker) -> np.ndarray:
    """What the model says comes after each item, `[ITEMS, ITEMS]`."""
    names = shop().item_ids
    asked = [Request(History([name], ["click"], [0.0]), Candidates(names), Context(DAY)) for name in names]
    logits = torch.from_numpy(np.stack(ranker.score_batch(asked)))
    return torch.softmax(logits, dim=1).double().numpy()


def divergence(of: np.ndarray, said: np.ndarray) -> float:
    """Mean KL(of || said) over the rows."""
    safe = np.where(of > 0, of, 1.0)
    return float((of * (np.log(safe) - np.log(said))).sum(axis=1).mean())


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> InterestRanker:
    return trained(walks(400, seed=1), tmp_path_factory.mktemp("t") / "a", dimension=32, layers=2)


def test_a_student_comes_nearer_to_its_teacher_and_to_the_truth(teacher, tmp_path):
    """Twelve users say little; the teacher has seen four hundred."""
    events, more = walks(12, seed=2), {"batch_steps": 16, "epochs": 30}
    distil = DistilConfig(seeds=1, weight=0.9)
    plain = chances(trained(events, tmp_path / "plain", **more))
    teachers = Teachers([Teacher.of(teacher, shop(), events.types)], distil)
    taught = chances(trained(events, tmp_path / "taught", teachers, distil=distil, **more))
    teaches = chances(teacher)
    assert divergence(truth(), teaches) < 0.15
    assert divergence(teaches, taught) < 0.5 * divergence(teaches, plain)
    assert divergence(truth(), taught) < 0.5 * divergence(truth(), plain)


def say(teachers: Teachers) -> torch.Tensor:
    places, none = torch.arange(4), torch.zeros(4, dtype=torch.long)
    window = Window(torch.zeros(2, 2, dtype=torch.long), torch.zeros(2, 2), places, none, none)
    asked = Asked(none[:2], none[:2], none[:2])
    queries, vectors = teachers.say(torch.arange(40), torch.tensor([3, 5, 8, 0]), window, torch.tensor([1, 2]), asked)
    return queries @ vectors.T


def test_several_teachers_say_the_mean_of_their_logits():
    first, second = (
        Teacher.of(small_ranker(seed=seed, dimension=width), small_catalogue(), ("click", "buy"))
        for seed, width in ((1, 16), (2, 24))
    )
    config = DistilConfig(seeds=2)
    alone = [say(Teachers([one], config)) for one in (first, second)]
    torch.testing.assert_close(say(Teachers([first, second], config)), (alone[0] + alone[1]) / 2)


def test_a_teacher_follows_items_and_types_by_name():
    ranker, ours = small_ranker(), small_catalogue()
    order = np.random.default_rng(0).permutation(len(ours))
    moved = dataclasses.replace(
        ours,
        item_ids=tuple(ours.item_ids[at] for at in order),
        texts=tuple(ours.texts[at] for at in order),
        embeddings=ours.embeddings[order],
    )
    teacher = Teacher.of(ranker, moved, ("buy", "other", "click"))
    np.testing.assert_array_equal(teacher.vectors.numpy(), ranker.table.rows(order))
    assert teacher.types.tolist() == [1, 2, 0, 2]


def test_an_item_new_to_the_teacher_is_its_text():
    ranker, ours = small_ranker(), small_catalogue()
    more = dataclasses.replace(ours, item_ids=("another", *ours.item_ids[1:]))
    vectors = Teacher.of(ranker, more, ("click",)).vectors.numpy()
    np.testing.assert_allclose(vectors[:1], ranker.from_text(ours.texts[:1], ours.embeddings[:1]), atol=1e-6)
    np.testing.assert_array_equal(vectors[1:], ranker.table.rows(np.arange(1, len(ours))))


@pytest.mark.parametrize("form", [{"network": "int8"}, {"vectors": "int8"}, {}])
def test_what_is_compressed_cannot_teach(form):
    made = compressed(small_ranker(), CompressionSettings.model_validate(form))
    with pytest.raises(ConfigError, match="cannot teach"):
        Teacher.of(made, small_catalogue(), ("click",))


def test_teachers_that_share_no_item():
    strange = dataclasses.replace(small_catalogue(), item_ids=tuple(f"x{at}" for at in range(40)))
    with pytest.raises(ConfigError, match="knows none of the items"):
        Teacher.of(small_ranker(), strange, ("click",))


def test_teachers_trained_first_have_their_own_size_and_seed():
    config = settings(distil={"seeds": 2, "dimension": 24, "layers": 2})
    first, second = (teacher_config(config, number) for number in range(2))
    assert (first.interest.dimension, first.interest.layers) == (24, 2)
    assert not first.interest.distil.enabled
    assert len({config.seed, first.seed, second.seed}) == 3
    assert first.interest.epochs == config.interest.epochs


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": 1, "teachers": ["a"]}, "either teachers or seeds"),
        ({"weight": 0.0}, "greater than 0"),
        ({"seeds": 1, "dimension": 25}, r"must divide distil\.dimension"),
        ({"teacher": ["a"]}, "Extra inputs"),
    ],
)
def test_settings_that_mean_nothing(given, said):
    with pytest.raises(ValidationError, match=said):
        InterestConfig.model_validate({"distil": given})


class _Encoder:
    def fingerprint(self) -> str:
        return "x"


def test_teachers_are_trained_once(tmp_path):
    """A run that goes on finds its teachers trained, and those of other settings gone."""
    events = walks(10, seed=3)
    data = TrainingData(shop(), events, [], "hash")
    config = settings(epochs=2, distil={"seeds": 2, "dimension": 16, "layers": 1})
    (tmp_path / "teacher-other.safetensors").write_bytes(b"")
    first = teachers_of(data, _Encoder(), config, tmp_path, None)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = teachers_of(data, _Encoder(), config, tmp_path, None)
    assert len(kept) == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept
    for one, other in zip(first.teachers.teachers, again.teachers.teachers, strict=True):
        torch.testing.assert_close(one.vectors, other.vectors, rtol=0, atol=0)
    assert first.identity == again.identity == ()
    assert teachers_of(data, _Encoder(), settings(), tmp_path, None) is None


def distilled(**given) -> TrainingConfig:
    interest = SMALL.interest.model_copy(update={"dimension": 8, "distil": DistilConfig.model_validate(given)})
    return SMALL.model_copy(update={"interest": interest})


@pytest.fixture(scope="module")
def unrefitted(features, tmp_path_factory) -> Path:
    """A bundle that has not seen the validation."""
    base = tmp_path_factory.mktemp("unrefitted")
    config = SMALL.model_copy(update={"refit": RefitConfig(enabled=False)})
    fit(features, base / "bundle", config, base / "checkpoints")
    return base / "bundle"


def test_a_bundle_teaches_a_smaller_one(features, unrefitted, tmp_path):
    config = distilled(teachers=[str(unrefitted)], weight=0.7, temperature=2.0)
    first = fit(features, tmp_path / "b", config, tmp_path / "c")
    bundle = load_bundle(tmp_path / "b")
    assert bundle.rankers["interest"].table.width == 8
    assert bundle.manifest["config"]["interest"]["distil"]["weight"] == 0.7
    assert fit(features, tmp_path / "again", config, tmp_path / "c").bundle_hash == first.bundle_hash
    plain = fit(features, tmp_path / "plain", distilled(), tmp_path / "d")
    assert plain.bundle_hash != first.bundle_hash


def test_a_teacher_that_knows_the_validation_is_refused(features, fitted, tmp_path):
    with pytest.raises(ConfigError, match="learned the validation") as problem:
        fit(features, tmp_path / "b", distilled(teachers=[str(fitted[0])]), tmp_path / "c")
    assert "training.refit.enabled=false" in str(problem.value.hint)


def test_teachers_that_cannot_be_had(features, unrefitted, tmp_path):
    with pytest.raises(BundleError, match="no model bundle"):
        fit(features, tmp_path / "b", distilled(teachers=["nowhere"]), tmp_path / "c")
    compress(unrefitted, tmp_path / "small", CompressionSettings(vectors="int8"))
    with pytest.raises(ConfigError, match="cannot teach"):
        fit(features, tmp_path / "b", distilled(teachers=[str(tmp_path / "small")]), tmp_path / "c")
    other = distilled(teachers=[str(unrefitted)]).model_copy(update={"max_tokens": 12})
    with pytest.raises(ConfigError, match="another language model"):
        fit(features, tmp_path / "b", other, tmp_path / "c")
