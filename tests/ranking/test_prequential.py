"""The prequential walk on a small stream, and the published baselines on the real one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from liverank.config.data import DataConfig
from liverank.config.training import CountConfig, InterestConfig, TrainingConfig
from liverank.data.ingest import ingest
from liverank.errors import DataError
from liverank.ranking.basket_stream import DAY, read_stream
from liverank.ranking.count import PRIOR, CountRanker
from liverank.ranking.interest_steps import InterestSteps
from liverank.ranking.prequential import AS_OF_CUT, BLEND, COUNT, WITHOUT_INTEREST, learned, run, scored
from liverank.ranking.prequential_counts import BOUGHT_MOST, POPULAR, TOGETHER, Counts, RunningPopularity, plain_rows
from liverank.ranking.prequential_rankers import Once, Trained
from liverank.ranking.prequential_tally import ALL, COLUMNS, NEW, Tally, ndcg_and_hit
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.ranking.tfidf import TextVectors
from tests.conftest import real_data
from tests.ranking.baskets_world import ITEMS, START, WEEK, weekly, write

COUNTS = TrainingConfig(interest=InterestConfig(enabled=False))
SMALL = TrainingConfig(
    interest=InterestConfig(dimension=16, layers=1, history_length=8, batch_steps=64, epochs=3, checkpoint_steps=1)
)
CUT = datetime(2026, 2, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write(tmp_path_factory.mktemp("baskets"), weekly(), ITEMS)


@pytest.fixture(scope="module")
def walk(dataset, tmp_path_factory):
    return run(dataset, tmp_path_factory.mktemp("walk"), COUNTS, cut=CUT)


def test_the_walk_sees_that_customers_come_back_for_their_own_item(walk):
    rows = walk.rows()
    assert list(rows) == [POPULAR, BOUGHT_MOST, "co-occurrence", TOGETHER, COUNT, BLEND, AS_OF_CUT]
    assert rows[BLEND]["all"]["hr_at_10"] == 1
    assert rows[BLEND]["all"]["ndcg_at_10"] > rows[POPULAR]["all"]["ndcg_at_10"] + 0.2
    assert set(rows[BLEND]) <= set(COLUMNS)


def test_the_blend_is_the_served_one_learned_as_training_learns_it(walk):
    for row in (BLEND, AS_OF_CUT):
        told = walk.facts[row]
        for weights in told["weights"].values():
            assert {"transitions", "zero-shot", "linear", "new"} <= set(weights)
        best = max(value for name, value in told["validation NDCG@10"].items() if name != "blend")
        assert told["validation NDCG@10"]["blend"] >= (1 - COUNTS.blend.cold_price) * best


def test_a_weak_blend_falls_back_to_the_best_single_ranker(dataset, tmp_path, monkeypatch):
    """As in serving; weights that put the wanted items last stand for ones that were badly learned."""
    monkeypatch.setattr(
        "liverank.ranking.blend_learning.learn_weights", lambda lists, prior, strength: -10 * np.ones_like(prior)
    )
    told = run(dataset, tmp_path, COUNTS, cut=CUT).facts[BLEND]
    assert any("did not beat" in note for note in told["notes"])


def test_the_rows_say_what_served_models_of_the_cut_and_of_midnight_say(dataset, tmp_path):
    stream, cut = read_stream(dataset, DataConfig()), CUT.timestamp()
    trained = Trained(stream, COUNTS, tmp_path)
    blends = learned(stream, COUNTS, trained, cut)
    trained.retrain(cut)
    basket, request, scores = list(scored(stream, COUNTS, trained, blends, (cut, np.inf)))[-1]
    history = History([ITEMS[row] for row in request.history], request.types, request.times)
    asked = Request(history, Candidates(ITEMS), Context(basket.time))
    others = {name: once.ranker for name, once in trained.rankers.items()}
    frozen, midnight = CountRanker.fit(*known_at(stream, cut), COUNTS.count), basket.time // DAY * DAY
    found = {}
    for row, counts in {
        AS_OF_CUT: frozen,
        BLEND: CountRanker.counted(*known_at(stream, midnight), COUNTS.count, frozen.text, frozen.weights, midnight),
    }.items():
        found[row] = blends[row].blend.over({"count": counts, **others}).score_batch([asked])[0]
        np.testing.assert_allclose(scores[row], found[row], atol=1e-3, err_msg=row)
    np.testing.assert_allclose(scores[COUNT], counts.score_batch([asked])[0], atol=1e-3)
    # What came up after the cut stands elsewhere.
    assert abs(found[BLEND][39] - found[AS_OF_CUT][39]) > 0.01


def known_at(stream, instant):
    events = stream.before(instant)
    met = np.bincount(events.item, minlength=len(stream.catalogue))
    return replace(stream.catalogue, train_events=met), events


def test_counts_of_a_day_are_taken_in_once(dataset):
    """Also where the first day begins before the counts do."""
    stream = read_stream(dataset, DataConfig())
    start, end = START + 8 * WEEK + DAY / 3, START + 10 * WEEK + DAY
    live = Counts(stream, CountConfig(), start)
    for midnight, _ in stream.days(start, end):
        live.at(midnight)
    found, events = live.at(end), stream.before(end)
    anew = CountRanker.counted(stream.catalogue, events, CountConfig(), found.text, PRIOR, end)
    np.testing.assert_allclose(found.popularity, anew.popularity, rtol=1e-4)
    np.testing.assert_allclose(found.transitions.toarray(), anew.transitions.toarray(), atol=1e-4)
    assert found.catalogue.train_events.tolist() == np.bincount(events.item, minlength=40).tolist()


def replaced_from(lines, instant):
    """The same customers at the same times, buying other things from an instant on."""
    later = [at for at, line in enumerate(lines) if START + line[2] >= instant]
    items = np.random.default_rng(1).permutation([lines[at][1] for at in later]).tolist()
    changed = list(lines)
    for at, item in zip(later, items, strict=True):
        user, _, seconds, session, kind = lines[at]
        changed[at] = (user, item, seconds, session, kind)
    return changed


def test_nothing_is_learned_from_what_comes_later(tmp_path):
    """Other baskets from ten in the morning on, on a day of baskets: what came before is scored as it was."""
    instant, found = START + 9 * WEEK + 10 * 3600, []
    for name, lines in {"as it was": weekly(), "replaced": replaced_from(weekly(), instant)}.items():
        stream = read_stream(write(tmp_path / name, lines, ITEMS), DataConfig())
        trained = Trained(stream, COUNTS, tmp_path)
        blends = learned(stream, COUNTS, trained, CUT.timestamp())
        trained.retrain(CUT.timestamp())
        walked = list(scored(stream, COUNTS, trained, blends, (CUT.timestamp(), np.inf)))
        found.append(([of.blend.weights for of in blends.values()], walked))
    (weights, one), (others, two) = found
    for mine, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(mine, other)
    earlier = [at for at, (basket, _, _) in enumerate(one) if basket.time < instant]
    # All of the first week after the cut, and the day's first ten customers.
    assert len(earlier) == 20 + 10
    for at in earlier:
        assert list(one[at][2]) == list(two[at][2])
        for name, scores in one[at][2].items():
            np.testing.assert_array_equal(scores, two[at][2][name], err_msg=name)
    assert any((one[at][0].items != two[at][0].items).any() for at in range(len(earlier), len(one)))


class Killed(Exception):
    """Stands for a kill."""


@pytest.fixture
def steps(monkeypatch):
    """Takes a line for each step of training."""
    made, step = [], InterestSteps.__call__

    def counted(run, *arguments):
        made.append(run.state.epoch)
        return step(run, *arguments)

    monkeypatch.setattr(InterestSteps, "__call__", counted)
    return made


def test_a_run_that_was_killed_goes_on_from_there(dataset, tmp_path, steps, monkeypatch):
    at_once = run(dataset, tmp_path / "at once", SMALL, cut=CUT)
    all_steps = len(steps)
    assert not list((tmp_path / "at once").glob("prequential-*"))
    steps.clear()

    def killed(self, until):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Trained, "retrain", killed)
        with pytest.raises(Killed):
            run(dataset, tmp_path / "killed", SMALL, cut=CUT)
    before = len(steps)
    assert 0 < before < all_steps
    gone_on = run(dataset, tmp_path / "killed", SMALL, cut=CUT)
    assert len(steps) == all_steps
    assert gone_on.rows() == at_once.rows()
    assert not list((tmp_path / "killed").glob("prequential-*"))
    assert WITHOUT_INTEREST in gone_on.rows()
    assert "interest" not in gone_on.facts[WITHOUT_INTEREST]["weights"]["returning"]


def test_a_state_of_other_settings_is_not_taken_up(dataset, tmp_path, steps):
    stream = read_stream(dataset, DataConfig())
    for config, until, goes_on in (
        (SMALL, CUT.timestamp(), False),
        (SMALL, CUT.timestamp(), True),
        (SMALL.model_copy(update={"seed": 8}), CUT.timestamp(), False),
        (SMALL, CUT.timestamp() - 7 * DAY, False),
    ):
        steps.clear()
        Trained(stream, config, tmp_path).train(until)
        assert (not steps) == goes_on


def test_a_request_is_scored_once_by_each_ranker():
    class Ranker:
        asked = 0

        def score_encoded(self, requests):
            self.asked += len(requests)
            return [np.full(3, self.asked, np.float32) for _ in requests]

    once, one, other = Once(Ranker()), object(), object()
    values = [once.score_encoded([request])[0][0] for request in (one, one, other, other, one)]
    assert values == [1, 1, 2, 2, 3]


def test_ndcg_and_hit_by_hand():
    scores = np.asarray([5, 4, 3, 2, 1], np.float32)
    ndcg, hit = ndcg_and_hit(scores, np.asarray([1, 4]))
    ideal = 1 + 1 / np.log2(3)
    assert ndcg == pytest.approx((1 / np.log2(3) + 1 / np.log2(6)) / ideal)
    assert hit == 1
    assert ndcg_and_hit(np.arange(20, dtype=np.float32), np.asarray([0])) == (0, 0)


def test_a_cut_outside_the_baskets(dataset, tmp_path):
    with pytest.raises(DataError, match="no basket before the cut"):
        run(dataset, tmp_path, COUNTS, cut=datetime(2031, 1, 1, tzinfo=UTC))


def test_published_baselines_on_uci(tmp_path):
    """2,670 baskets from 2011-11-10 on; figures of another implementation of the protocol."""
    source = real_data("uci-online-retail/online_retail.parquet")
    ingest(DataConfig(source=str(source), timezone="Europe/London"), tmp_path)
    stream, start = read_stream(tmp_path, DataConfig()), datetime(2011, 11, 10, tzinfo=UTC).timestamp()
    assert (len(stream.catalogue), len(stream.baskets)) == (3659, 18405)
    text, events = TextVectors.fit(stream.catalogue.texts), stream.before(start)
    counts = CountRanker.counted(stream.catalogue, events, CountConfig(), text, PRIOR, start)
    popularity, tallies = RunningPopularity(stream, start), {POPULAR: Tally(), BOUGHT_MOST: Tally()}
    for _, baskets in stream.days(start):
        requests = [stream.request(basket) for basket in baskets]
        for basket, request, signals in zip(baskets, requests, counts.all_signals(requests), strict=True):
            rows = plain_rows(signals, popularity.at(basket.time))
            popularity.add(basket)
            for name, tally in tallies.items():
                tally.add(rows[name], basket, request)
    popular, bought = (tallies[name].row() for name in (POPULAR, BOUGHT_MOST))
    # 253 in the other implementation: one customer's first two baskets have one time.
    assert (popular[ALL]["baskets"], popular[NEW]["baskets"]) == (2670, 254)
    assert popular[ALL]["ndcg_at_10"] == pytest.approx(0.1171, abs=5e-4)
    assert popular[ALL]["hr_at_10"] == pytest.approx(0.533, abs=2e-3)
    assert popular[NEW]["ndcg_at_10"] == pytest.approx(0.0974, abs=5e-4)
    assert bought[ALL]["ndcg_at_10"] == pytest.approx(0.2696, abs=5e-4)
    assert bought[ALL]["hr_at_10"] == pytest.approx(0.730, abs=2e-3)
