"""Ablations and learning curve on the small world, whose truth is known."""

from __future__ import annotations

import doctest
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from liverank import columns as c
from liverank.config import EvaluationConfig, TrainingConfig
from liverank.config.training import CountConfig, InterestConfig
from liverank.evaluation import ablation
from liverank.evaluation.ablation import find_ablations, parts_of
from liverank.evaluation.findings import bootstrap_of
from liverank.evaluation.learning_curve import find_learning_curve, shared
from liverank.evaluation.measure import lists_of
from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_learning import relearned
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.count import SIGNALS
from liverank.ranking.data import encode, load_requests, load_training_data
from tests.evaluation.world import write_bundle, write_features

CONFIG = EvaluationConfig(bootstrap_samples=100, learning_curve_shares=(0.1, 1.0))
NO_INTEREST = TrainingConfig(interest=InterestConfig(enabled=False))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("learning")
    features = write_features(root / "features", requests=400, validation=400)
    # Transitions that reach one step only leave something for the text to tell.
    write_bundle(features, root / "bundle", config=TrainingConfig(count=CountConfig(window=1, query_items=2)))
    return root


@pytest.fixture(scope="module")
def asked(world):
    requests = load_requests(world / "features", c.TEST)
    return requests, bootstrap_of(requests, CONFIG)


@pytest.fixture(scope="module")
def ablations(world, asked):
    bundle = load_bundle(world / "bundle")
    requests, bootstrap = asked
    lists = lists_of(requests, bundle.catalogue)
    return find_ablations(bundle.primary, requests, lists, "ndcg", 10, bootstrap)


def test_every_part_of_the_blend_is_left_out_once(ablations):
    parts = {part.part: part.signals for part in ablations.parts}
    assert parts["popularity"] == ("popularity", "established")
    assert parts["repeats"] == ("had", "repeats", "frequency", "recency")
    alone = [signal for part, names in parts.items() if part != "text and zero-shot" for signal in names]
    assert sorted(alone) == sorted([*SIGNALS, "zero-shot", "new", "incoming"])
    assert ablations.requests == 400


def test_what_makes_the_world_brings_most(ablations):
    """Users like items of one kind, and the embeddings of a kind lie close: text is what tells them."""
    brings = {part.part: part.brings for part in ablations.parts}
    assert brings["text and zero-shot"].low > 0
    assert ablations.whole.mean - brings["zero-shot"].mean == pytest.approx(
        next(part.mean.mean for part in ablations.parts if part.part == "zero-shot")
    )


def test_relearned_weights_are_those_that_training_learns(world):
    blend = load_bundle(world / "bundle").primary
    validation = load_requests(world / "features", c.VALIDATION)
    requests = [encode(blend.count.catalogue, labelled.request) for labelled in validation]
    labels = [labelled.labels for labelled in validation]
    assert np.array_equal(relearned(blend, requests, blend.signals(requests), labels), blend.weights)


def test_nobody_is_judged_by_weights_learned_from_their_own_answers(world, asked):
    blend = load_bundle(world / "bundle").primary
    requests = asked[0]
    second = ablation.halves(requests)
    users = np.asarray([labelled.request.user_id for labelled in requests])
    assert not set(users[second]) & set(users[~second])
    assert 0.4 < second.mean() < 0.6
    lists = lists_of(requests, blend.count.catalogue)
    turned = [
        replace(of, labels=of.labels[::-1].copy()) if late else of for of, late in zip(requests, second, strict=True)
    ]
    plain, other = (_whole(blend, of, lists) for of in (requests, turned))
    assert np.array_equal(plain[second], other[second], equal_nan=True)
    assert not np.array_equal(plain[~second], other[~second], equal_nan=True)


def _whole(blend, requests, lists):
    encoded = [encode(blend.count.catalogue, labelled.request) for labelled in requests]
    judge = ablation._Judge(
        blend, requests, encoded, blend.signals(encoded), ablation.halves(requests), lists, "ndcg", 10
    )
    return judge.without(())


def test_a_blanked_signal_takes_no_part(world, asked):
    """Weights learned without a signal give the same scores whatever that signal says."""
    blend = load_bundle(world / "bundle").primary
    lists, bootstrap = lists_of(asked[0], blend.count.catalogue), asked[1]

    class Noisy:
        def __init__(self, real, seed):
            self.real, self.rng = real, np.random.default_rng(seed)

        def similarity(self, request):
            return self.rng.normal(size=len(request.candidates)).astype(np.float32)

    found = []
    for seed in (1, 2):
        rankers = {**blend.rankers, "zero-shot": Noisy(blend.rankers["zero-shot"], seed)}
        noisy = BlendRanker(rankers, blend.weights, blend.uses_incoming)
        parts = find_ablations(noisy, asked[0], lists, "ndcg", 10, bootstrap).parts
        found.append({part.part: part.mean for part in parts})
    assert found[0]["zero-shot"] == found[1]["zero-shot"]
    assert found[0]["text"] != found[1]["text"]


def test_parts_of_other_blends():
    assert parts_of(["text", "interest", "feature:price", "feature:age", "incoming", "new"]) == {
        "text": ("text",),
        "interest": ("interest",),
        "features": ("feature:price", "feature:age"),
        "incoming": ("incoming",),
        "new": ("new",),
    }
    assert doctest.testmod(ablation).failed == 0


# Learning curve.


@pytest.mark.parametrize("by", ["time", "users"])
def test_shares_grow_and_hold_each_other(world, by):
    data = load_training_data(world / "features")
    parts = [shared(data, share, by, 7) for share in (0.001, 0.1, 0.4, 0.7, 1.0)]
    keys = [set(zip(part.events.user.tolist(), part.events.timestamp.tolist(), strict=True)) for part in parts]
    assert all(less < more for less, more in pairwise(keys))
    assert len(parts[0].events) >= 1
    assert len(parts[-1].events) == len(data.events)
    assert len({part.data_hash for part in parts}) == 5  # training states are never mixed up
    for part in parts:
        assert part.catalogue.train_events.sum() == len(part.events)
        assert part.validation is data.validation


def test_a_share_by_time_is_the_latest(world):
    data = load_training_data(world / "features")
    kept = shared(data, 0.25, "time", 7).events.timestamp
    assert len(kept) == round(0.25 * len(data.events))
    assert kept.min() > np.sort(data.events.timestamp)[-len(kept) - 1]


def test_a_share_by_users_is_all_they_did(world):
    data = load_training_data(world / "features")
    kept = shared(data, 0.5, "users", 7).events
    assert len(np.unique(kept.user)) == round(0.5 * len(data.events.users))
    assert len(kept) == np.isin(data.events.user, kept.user).sum()


@pytest.fixture(scope="module")
def curve(world, asked):
    data, (requests, bootstrap) = load_training_data(world / "features"), asked
    training = NO_INTEREST.model_copy(update={"feature_ranker": True})
    lists = lists_of(requests, data.catalogue)
    return find_learning_curve(data, training, requests, lists, CONFIG, bootstrap, world / "curve")


def test_more_events_are_better(curve):
    first, last = curve.points
    assert first.events < last.events
    assert last.rankers["count"].mean > first.rankers["count"].mean
    assert first.to_last.mean == pytest.approx(last.rankers["blend"].mean - first.rankers["blend"].mean)
    assert (last.to_last.mean, last.to_last.low, last.to_last.high) == (0, 0, 0)
    assert set(last.rankers) == {"count", "popularity", "zero-shot", "linear", "blend"}
    assert "features of candidates" in curve.notes[0]


def test_texts_are_embedded_once(world, curve):
    assert len(list((world / "curve").iterdir())) == 1


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.5), (1.0, 0.1), (0.0, 1.0), (0.5, 1.1)])
def test_shares_must_rise_between_0_and_1(shares):
    with pytest.raises(ValidationError):
        EvaluationConfig(learning_curve_shares=shares)
