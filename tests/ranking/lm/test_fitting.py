"""The re-ranker learns what goes together from texts alone, goes on where it was killed, and serves where it helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from liverank.config.lm import LmConfig
from liverank.config.training import InterestConfig, TrainingConfig
from liverank.errors import BundleError, DataError, TrainingError
from liverank.events import Item
from liverank.ranking.blend_learning import fit_blend
from liverank.ranking.bundle import load_bundle, save_bundle
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.count import CountRanker
from liverank.ranking.data import LabelledRequest, TrainingData, encode
from liverank.ranking.fit import fit_rankers
from liverank.ranking.listwise import list_ndcg
from liverank.ranking.lm.cascade import CascadeRanker, Costs, Took, cascade_signals, dealt
from liverank.ranking.lm.fitting import fit_lm, help_fit_lm
from liverank.ranking.lm.judging import Side, judged_list, orders
from liverank.ranking.lm.loading import load_scorer
from liverank.ranking.lm.ranker import LmRanker, ReadHistories, weights_mark
from liverank.ranking.lm.training import _Run, train
from liverank.ranking.lm.training_lists import _Drawing, batches, training_lists
from liverank.ranking.protocol import Candidates, Context, History, Request, ranking, score
from liverank.ranking.ranks import Ranks
from liverank.text import LanguageModel
from tests.ranking.contract import NOW, RankerContract, history_of
from tests.ranking.hidden_pattern import EACH, KINDS, shop
from tests.ranking.lm.tiny_models import encoder

CPU = torch.device("cpu")
WORDS = [word for pair in KINDS for word in pair] + [
    "north",
    "seven",
    "quick",
    "pale",
    "old",
    "grand",
    "plain",
    "early",
]
LM = LmConfig(
    enabled=True, joint_layers=1, history_tokens=64, lists=400, negatives=7, hard=40, steps=80, batch=16,
    judge_steps=40, learning_rate=5e-3, top=20, judge_lists=60,
)  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    model = encoder(tmp_path_factory.mktemp("model"), WORDS, layers=1)
    lm = LM.model_copy(update={"model": str(model)})
    return TrainingConfig(threads=1, seed=3, device="cpu", interest=InterestConfig(enabled=False), lm=lm)


def validation(world, users=240):
    """New users with four events of a kind; what they take next is one of four, beside nineteen of other kinds."""
    rng = np.random.default_rng(9)
    names, found = world.catalogue.item_ids, []
    for user in range(users):
        kind = int(rng.integers(len(KINDS)))
        own = [int(rng.integers(EACH)) + (2 * kind + step % 2) * EACH for step in range(5)]
        others = rng.permutation([at for at in range(len(names)) if at // (2 * EACH) != kind])[:19]
        rows = rng.permutation([own[-1], *others])
        history = History([names[at] for at in own[:-1]], ["click"] * 4, [NOW - 900 + 100.0 * at for at in range(4)])
        request = Request(history, Candidates([names[at] for at in rows]), Context(NOW), f"new-{user}")
        labels = (rows == own[-1]).astype(np.float32)
        found.append(LabelledRequest(request, f"r{user}", labels, (names[own[-1]],), "retriever"))
    return found


@pytest.fixture(scope="module")
def world():
    return shop()


def data_of(world):
    vectors = LanguageModel().encode(world.catalogue.texts)
    return TrainingData(world.catalogue.with_embeddings(vectors), world.events, validation(world), "hash")


@pytest.fixture(scope="module")
def data(world):
    return data_of(world)


def blind(data, config):
    """Counts and a blend that know nothing of what goes together: popularity alone."""
    count = CountRanker.fit(data.catalogue, data.events, config.count)
    count.weights = np.zeros_like(count.weights)
    count.weights[:, 2] = 0.1
    blend, _ = fit_blend({"count": count}, [])
    blend.weights = np.zeros_like(blend.weights)
    blend.weights[:, 2] = 0.1
    return {"count": count, "blend": blend}


@pytest.fixture(scope="module")
def tuned(data, config, tmp_path_factory):
    return fit_lm(data, blind(data, config), config, tmp_path_factory.mktemp("checkpoints"))


def test_it_finds_what_goes_together_and_is_deployed(tuned):
    rankers, outcome = tuned
    assert outcome.deployed
    assert outcome.low > 0.1
    assert outcome.cascade > outcome.blend + 0.1
    assert outcome.training["judged"][-1] > outcome.training["judged"][0] + 0.1
    assert rankers["cascade"].weights[1] > 0


def test_where_it_does_not_help_it_is_not_deployed_and_says_so(data, config, tmp_path):
    rng = np.random.default_rng(1)
    at_random = [replace(one, labels=rng.permutation(one.labels)) for one in data.validation]
    data = replace(data, validation=at_random)
    few = config.model_copy(update={"lm": config.lm.model_copy(update={"steps": 4, "judge_steps": 2})})
    rankers, outcome = fit_lm(data, blind(data, few), few, tmp_path)
    assert not outcome.deployed
    assert rankers == {}
    assert "not deployed" in outcome.told()
    on = few.model_copy(update={"lm": few.lm.model_copy(update={"deploy": "on"})})
    rankers, outcome = fit_lm(data, blind(data, on), on, tmp_path)
    assert outcome.deployed
    assert rankers.keys() == {"lm", "cascade"}


# Lists to learn from.


def test_lists_hold_what_came_next_and_nothing_of_its_step(data, config):
    count = CountRanker.fit(data.catalogue, data.events, config.count)
    lists = training_lists(data.catalogue, data.events, count, 100, 7, 40, seed=1)
    assert 90 <= len(lists) <= 100
    for one in lists:
        assert 2 <= len(one.rows) <= 8
        assert len(set(one.rows.tolist())) == len(one.rows)
        assert 1 <= len(one.request.history) < 8
    drawn = batches(lists, 16, 0) + batches(lists, 16, 1)
    assert len({id(one) for one in drawn}) == 32
    assert batches(lists, 16, len(lists))[0] is lists[16 * len(lists) % len(lists)]


def test_lists_are_found_by_counts_that_do_not_know_their_users(data, config, monkeypatch):
    counted, signals, asked = CountRanker.counted, _Drawing.signals, []

    def noting(catalogue, events, *more):
        ranker = counted(catalogue, events, *more)
        ranker.knows = {events.users[user] for user in np.unique(events.user)}
        return ranker

    def asking(self, ranker, steps):
        asked.append(({data.events.users[user] for user in data.events.user[steps]}, ranker.knows))
        return signals(self, ranker, steps)

    count = CountRanker.fit(data.catalogue, data.events, config.count)
    monkeypatch.setattr(CountRanker, "counted", noting)
    monkeypatch.setattr(_Drawing, "signals", asking)
    lists = training_lists(data.catalogue, data.events, count, 200, 7, 10, seed=1)
    assert all(not users & knows for users, knows in asked)
    learned = {data.events.users[of.user] for of in lists}
    assert all(learned & users for users, _ in asked[:2])
    # Ten of them, the right one among these: it stands there because it was found, and its score is told.
    assert all(of.known is not None and len(of.known) == len(of.rows) for of in lists)
    places = [int((of.known > of.known[0]).sum()) for of in lists]
    assert min(places) == 0
    assert max(places) > 0


def test_what_is_kept_of_lists_tells_what_reading_all_of_them_would(data):
    rng, ids = np.random.default_rng(5), data.catalogue.item_ids[:30]
    weights = np.asarray([0.5, 1.0, 0.2], np.float32)
    side, expected, before = Side(1000), {}, {}
    for at in range(300):
        request = Request(history_of(ids[:2]), Candidates(ids), Context(NOW), f"u{at}")
        scores = rng.integers(0, 12, 30).astype(np.float32)  # many are tied
        labels = (rng.random(30) < 0.06).astype(np.float32)
        if not labels.any():
            continue
        read = rng.normal(size=30).astype(np.float32)
        whole = LabelledRequest(request, f"r{at}", labels, (), "retriever")
        side.take(judged_list(whole, encode(data.catalogue, request), scores, 5))
        best = ranking(scores)[:5]
        order = cascade_signals(scores[best], read[best]) @ weights
        expected[f"u{at}"] = list_ndcg([dealt(scores, best, order)], [labels])[0], read[best]
        before[f"u{at}"] = list_ndcg([scores], [labels])[0]
    assert 20 < len(side.lists) < len(side) - 20
    read = [expected[user][1] for user in side.users]
    found = side.ndcg(orders(side.lists, read, weights))
    np.testing.assert_allclose(found, [expected[user][0] for user in side.whose], rtol=1e-6)
    unread = side.ndcg([one.scores for one in side.lists])
    np.testing.assert_allclose(unread, [before[user] for user in side.whose], rtol=1e-6)
    assert np.abs(found - unread).max() > 0.1


def test_where_nothing_that_came_next_is_found_it_is_said(data, config):
    count = CountRanker.fit(data.catalogue, data.events, config.count)
    with pytest.raises(DataError, match="among the 1 best"):
        training_lists(data.catalogue, data.events, count, 200, 7, 1, seed=1)


def test_a_model_learns_what_is_to_be_added_to_what_is_known(data, config, tmp_path):
    """Where the known scores already put the right one first by far, there is nothing left to learn."""
    prompts, scorer = load_scorer(config.lm.model, config.lm, CPU)
    count = CountRanker.fit(data.catalogue, data.events, config.count)
    lists = training_lists(data.catalogue, data.events, count, 60, 5, 40, seed=1)
    sure = [replace(one, known=np.asarray([50.0] + [0.0] * (len(one.rows) - 1), np.float32)) for one in lists]
    short = config.model_copy(update={"lm": config.lm.model_copy(update={"steps": 1})})
    path = Checkpoint(tmp_path / "sure.safetensors")
    report = train(scorer, prompts, data.catalogue, sure, short, lambda _: 0.0, path)
    assert report.losses[-1] < 1e-6


def test_a_history_ends_before_the_step_it_foretells(data, config):
    events = data.events
    count = CountRanker.fit(data.catalogue, events, config.count)
    for one in training_lists(data.catalogue, events, count, 50, 7, 40, seed=1):
        assert (one.request.times < one.request.request.context.timestamp).all()


# Training.


def run_of(data, config, path):
    prompts, scorer = load_scorer(config.lm.model, config.lm, CPU)
    count = CountRanker.fit(data.catalogue, data.events, config.count)
    lists = training_lists(data.catalogue, data.events, count, 60, 5, 40, seed=1)
    torch.manual_seed(0)
    report = train(scorer, prompts, data.catalogue, lists, config, lambda _: next(RISING), Checkpoint(path))
    return {name: of.detach().clone() for name, of in scorer.trained().items()}, report


RISING = iter(range(1000))


class Killed(BaseException):
    pass


def test_interrupted_it_ends_as_if_it_had_not_been(data, config, tmp_path, monkeypatch):
    short = config.model_copy(update={"lm": config.lm.model_copy(update={"steps": 6, "judge_steps": 2})})
    whole, report = run_of(data, short, tmp_path / "whole.safetensors")
    step = _Run.step

    def killed(run, number):
        if number == 5:
            raise Killed
        return step(run, number)

    monkeypatch.setattr(_Run, "step", killed)
    with pytest.raises(Killed):
        run_of(data, short, tmp_path / "parts.safetensors")
    monkeypatch.setattr(_Run, "step", step)
    parts, again = run_of(data, short, tmp_path / "parts.safetensors")
    assert (again.steps, len(again.judged)) == (report.steps, len(report.judged)) == (6, 4)
    assert parts.keys() == whole.keys()
    for name in whole:
        assert torch.equal(parts[name], whole[name]), name


def test_what_diverges_is_said(data, config, tmp_path):
    wild = config.model_copy(update={"lm": config.lm.model_copy(update={"learning_rate": 1e30, "steps": 5})})
    with pytest.raises(TrainingError, match=r"training\.lm\.learning_rate"):
        run_of(data, wild, tmp_path / "state.safetensors")


# In a bundle.


@pytest.fixture(scope="module")
def saved(data, config, tmp_path_factory):
    """A bundle whose blend the re-ranker helps, by force."""
    forced = config.model_copy(
        update={"lm": config.lm.model_copy(update={"deploy": "on", "steps": 4, "judge_steps": 2})}
    )
    base = tmp_path_factory.mktemp("bundle")
    whole = fit_rankers(data, forced, base / "checkpoints")
    manifest = save_bundle(base / "bundle", whole.catalogue, whole.rankers, forced, {"data_hash": "h"})
    return base / "bundle", whole, manifest


def test_a_bundle_serves_the_cascade_and_takes_new_items(saved):
    folder, whole, manifest = saved
    assert {"lm", "cascade"} <= set(manifest["rankers"])
    bundle = load_bundle(folder)
    assert bundle.primary.name == "cascade"
    request = validation(shop())[0].request
    np.testing.assert_array_equal(
        bundle.primary.score_batch([request])[0], whole.rankers["cascade"].score_batch([request])[0]
    )
    bundle.add_items([Item(item_id="fresh", title="old otter")])
    ids = [*request.candidates.item_ids, "fresh"]
    assert np.isfinite(score(bundle.primary, request.history, Candidates(ids), request.context)).all()
    assert bundle.primary.lm.catalogue is bundle.catalogue


def test_other_weights_than_those_that_were_tuned_are_refused(tuned, data, tmp_path):
    lm = tuned[0]["lm"]
    (tmp_path / "lm").mkdir()
    LmRanker(data.catalogue, lm.prompts, lm.scorer, lm.config, (lm.base[0], "another")).save(tmp_path / "lm")
    with pytest.raises(BundleError, match="other weights"):
        LmRanker.load(tmp_path / "lm", data.catalogue)
    assert lm.base[1] == weights_mark(lm.base[0])


class TestContract(RankerContract):
    """To the tiny model most words of the synthetic shop are one and the same; it keeps the contract all the same."""

    @pytest.fixture(scope="class", autouse=True)
    def keep(self, tuned):
        type(self).LM = tuned[0]["lm"]

    def ranker(self, bundle):
        return self.LM.on(bundle.catalogue, np.zeros(0, np.int64))

    def reload(self, ranker, folder, bundle):
        return LmRanker.load(folder, bundle.catalogue)


class TestCascadeContract(TestContract):
    def ranker(self, bundle):
        weights = np.asarray([1.0, 0.5, 0.1], np.float32)
        return CascadeRanker(bundle.rankers["blend"], super().ranker(bundle), weights, 10)

    def reload(self, ranker, folder, bundle):
        return CascadeRanker.load(folder, {**bundle.rankers, "lm": ranker.lm})


# The cascade.


def test_the_best_get_each_others_scores_and_stay_above_the_rest():
    scores = np.asarray([0.1, 0.9, 0.5, 0.7, 0.2], np.float32)
    moved = dealt(scores, np.asarray([1, 3, 2]), np.asarray([0.0, 1.0, 2.0], np.float32))
    np.testing.assert_array_equal(moved, np.asarray([0.1, 0.5, 0.9, 0.7, 0.2], np.float32))


def test_signals_do_not_depend_on_the_level_of_either_score():
    one, two = np.asarray([1.0, 2.0, 4.0], np.float32), np.asarray([0.5, 0.0, -1.0], np.float32)
    np.testing.assert_allclose(cascade_signals(one, two), cascade_signals(one + 3, two - 2), atol=1e-6)


@pytest.fixture
def cascade(tuned):
    return CascadeRanker(tuned[0]["cascade"].blend, tuned[0]["lm"], np.asarray([0, 1, 0], np.float32), 10)


def long_list(data):
    ids = data.catalogue.item_ids
    return encode(data.catalogue, Request(history_of(ids[:3]), Candidates(ids[:40]), Context(NOW)))


def test_only_what_the_time_allows_is_read(cascade, data):
    request = long_list(data)
    scores = cascade.blend.combine([request], cascade.blend.signals([request]))[0]
    cascade.costs.start(10, history=0.010, scoring=0.010)
    for seconds, read in ((0.001, 0), (0.0126, 0), (0.0201, 6), (1.0, 10), (None, 10)):
        cascade.costs.start(10, history=0.010, scoring=0.010)
        found = cascade.rescore(request, scores, seconds)
        assert (found.read, found.wanted) == (read, 10)
        before, after = ranking(scores), ranking(found.scores)
        assert set(before[:read].tolist()) == set(after[:read].tolist())
        np.testing.assert_array_equal(before[max(read, 0) :], after[max(read, 0) :])
        np.testing.assert_array_equal(np.sort(scores), np.sort(found.scores))


def test_before_anything_is_measured_no_deadline_is_risked(cascade, data):
    request = long_list(data)
    scores = np.linspace(1, 0, 40).astype(np.float32)
    assert cascade.rescore(request, scores, 10.0).read == 0
    cascade.warm(request)
    assert cascade.costs.history > 0
    assert cascade.rescore(request, scores, 10.0).read == 10


def test_a_list_without_a_history_stays_the_blends(cascade, data):
    nobody = replace(long_list(data), history=np.zeros(0, np.int64))
    scores = np.linspace(1, 0, 40).astype(np.float32)
    found = cascade.rescore(nobody, scores)
    assert (found.read, found.wanted) == (0, 0)
    np.testing.assert_array_equal(found.scores, scores)


def test_costs_follow_what_is_measured():
    costs = Costs()
    assert costs.affordable(1.0, 100) == 0
    costs.start(10, history=0.01, scoring=0.01)
    assert costs.affordable(0.05, 100) == 30
    costs.note(Took(0.03, 0.03, 10))  # three times as slow
    assert costs.affordable(0.05, 100) == 10
    for _ in range(60):
        costs.note(Took(0.01, 0.01, 10))
    assert 28 <= costs.affordable(0.05, 100) <= 30


def test_known_histories_and_lists_without_texts_make_nothing_cheaper():
    costs = Costs()
    costs.start(10, history=0.01, scoring=0.01)
    for _ in range(100):
        costs.note(Took(0.0, 0.01, 10))
        costs.note(Took())
    assert costs.affordable(0.05, 100) == 30


def test_texts_that_were_never_read_cost_more_once():
    costs = Costs()
    costs.begin(Took(0.01, 0.01, 10, preparing=0.04, unread=10))
    assert costs.affordable(0.05, 10) == 10
    assert costs.affordable(0.05, 10, [True] * 10) == 6
    assert costs.affordable(0.045, 10, [False, True] * 5) == 9
    costs.begin(Took(0.01, 0.01, 10))  # none was new when it was measured: as dear as a history
    assert costs.affordable(0.05, 10, [True] * 10) == 2


def test_a_deadline_holds_for_a_list_of_texts_that_were_never_read(cascade, data, monkeypatch):
    seen: set[bytes] = set()
    monkeypatch.setattr(cascade.lm.scorer.reader, "unread", lambda ids: ids.tobytes() not in seen, raising=False)
    monkeypatch.setattr(cascade.lm.scorer.reader, "prepare", lambda ids: seen.add(ids.tobytes()), raising=False)
    ids = data.catalogue.item_ids
    texts = {f"new-{at}": f"{data.catalogue.titles[at]} {data.catalogue.titles[at + 1]} again" for at in range(10)}
    request = Request(history_of(ids[:3]), Candidates(tuple(texts), texts), Context(NOW))
    encoded = encode(data.catalogue, request)
    scores = np.linspace(1, 0, 10).astype(np.float32)
    places = np.arange(10)
    assert cascade.lm.unread(encoded, places) == [True] * 10
    cascade.costs.start(10, history=0.001, scoring=0.001)
    cascade.costs.unread = 0.01
    assert cascade.rescore(encoded, scores, 0.065).read == 5
    assert cascade.lm.unread(encoded, places) == [False] * 5 + [True] * 5
    cascade.costs.start(10, history=0.001, scoring=0.001)
    assert cascade.rescore(encoded, scores, 0.065).read == 10


def test_one_slow_moment_does_not_end_re_ranking(cascade, data):
    request = long_list(data)
    scores = np.linspace(1, 0, 40).astype(np.float32)
    cascade.costs.start(10, history=0.010, scoring=0.010)
    for _ in range(5):
        cascade.costs.note(Took(1.0, 10.0, 10))
    read = [cascade.rescore(request, scores, 0.05).read for _ in range(700)]
    assert read[0] == 0
    assert max(read) == 10


def test_histories_are_kept_within_their_memory_and_shared_with_a_grown_catalogue(tuned, data):
    lm = tuned[0]["lm"]
    small = LmRanker(data.catalogue, lm.prompts, lm.scorer, lm.config, lm.base, ReadHistories(5_000))
    ids = data.catalogue.item_ids
    for at in range(30):
        request = encode(data.catalogue, Request(history_of(ids[at : at + 3]), Candidates(ids[:2]), Context(NOW)))
        small.score_encoded([request])
    assert 1 <= len(small._shared) < 30
    assert small.on(data.catalogue, np.zeros(0, np.int64))._shared is small._shared


def test_without_anything_to_learn_from_it_says_so(data, config, tmp_path):
    silent = replace(data, catalogue=replace(data.catalogue, texts=("",) * len(data.catalogue)))
    with pytest.raises(DataError, match="nothing to learn from"):
        fit_lm(silent, blind(data, config), config, tmp_path)


def test_processes_that_help_are_told_that_nothing_is_trained(data, config, tmp_path):
    """They would wait for steps that the first one never makes."""
    said: list[float] = []

    class First(Ranks):
        def told(self, value):
            said.append(value)
            return value

    fit_lm(replace(data, validation=data.validation[:3]), blind(data, config), config, tmp_path, First())
    assert said == [0.0]
    help_fit_lm(data, blind(data, config)["count"], config, tmp_path, First(rank=1))
    assert said == [0.0, 0.0]
    assert list(tmp_path.iterdir()) == []


def test_without_lists_to_judge_on_nothing_is_trained(data, config, tmp_path):
    few = replace(data, validation=data.validation[:3])
    rankers, outcome = fit_lm(few, blind(data, config), config, tmp_path)
    assert (rankers, outcome.deployed, outcome.training) == ({}, False, {})
    on = config.model_copy(update={"lm": config.lm.model_copy(update={"deploy": "on"})})
    with pytest.raises(DataError, match="Too few validation lists"):
        fit_lm(few, blind(data, on), on, tmp_path)
