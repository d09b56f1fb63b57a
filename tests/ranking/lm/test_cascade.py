"""The blend's best in the language model's order, as far as the time allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverank.ranking.data import encode
from liverank.ranking.lm.cascade import CascadeRanker, Costs, Took, cascade_signals, dealt
from liverank.ranking.lm.ranker import LmRanker, ReadHistories
from liverank.ranking.protocol import Candidates, Context, Request, ranking
from tests.ranking.contract import NOW, history_of


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


def long_list(goods):
    ids = goods.catalogue.item_ids
    return encode(goods.catalogue, Request(history_of(ids[:3]), Candidates(ids[:40]), Context(NOW)))


def test_only_what_the_time_allows_is_read(cascade, goods):
    request = long_list(goods)
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


def test_before_anything_is_measured_no_deadline_is_risked(cascade, goods):
    request = long_list(goods)
    scores = np.linspace(1, 0, 40).astype(np.float32)
    assert cascade.rescore(request, scores, 10.0).read == 0
    cascade.warm(request)
    assert cascade.costs.history > 0
    assert cascade.rescore(request, scores, 10.0).read == 10


def test_a_list_without_a_history_stays_the_blends(cascade, goods):
    nobody = replace(long_list(goods), history=np.zeros(0, np.int64))
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


def test_a_deadline_holds_for_a_list_of_texts_that_were_never_read(cascade, goods, monkeypatch):
    seen: set[bytes] = set()
    monkeypatch.setattr(cascade.lm.scorer.reader, "unread", lambda ids: ids.tobytes() not in seen, raising=False)
    monkeypatch.setattr(cascade.lm.scorer.reader, "prepare", lambda ids: seen.add(ids.tobytes()), raising=False)
    ids = goods.catalogue.item_ids
    texts = {f"new-{at}": f"{goods.catalogue.titles[at]} {goods.catalogue.titles[at + 1]} again" for at in range(10)}
    request = Request(history_of(ids[:3]), Candidates(tuple(texts), texts), Context(NOW))
    encoded = encode(goods.catalogue, request)
    scores = np.linspace(1, 0, 10).astype(np.float32)
    places = np.arange(10)
    assert cascade.lm.unread(encoded, places) == [True] * 10
    cascade.costs.start(10, history=0.001, scoring=0.001)
    cascade.costs.unread = 0.01
    assert cascade.rescore(encoded, scores, 0.065).read == 5
    assert cascade.lm.unread(encoded, places) == [False] * 5 + [True] * 5
    cascade.costs.start(10, history=0.001, scoring=0.001)
    assert cascade.rescore(encoded, scores, 0.065).read == 10


def test_one_slow_moment_does_not_end_re_ranking(cascade, goods):
    request = long_list(goods)
    scores = np.linspace(1, 0, 40).astype(np.float32)
    cascade.costs.start(10, history=0.010, scoring=0.010)
    for _ in range(5):
        cascade.costs.note(Took(1.0, 10.0, 10))
    read = [cascade.rescore(request, scores, 0.05).read for _ in range(700)]
    assert read[0] == 0
    assert max(read) == 10


def test_histories_are_kept_within_their_memory_and_shared_with_a_grown_catalogue(tuned, goods):
    lm = tuned[0]["lm"]
    small = LmRanker(goods.catalogue, lm.prompts, lm.scorer, lm.config, lm.base, ReadHistories(5_000))
    ids = goods.catalogue.item_ids
    for at in range(30):
        request = encode(goods.catalogue, Request(history_of(ids[at : at + 3]), Candidates(ids[:2]), Context(NOW)))
        small.score_encoded([request])
    assert 1 <= len(small._shared) < 30
    assert small.on(goods.catalogue, np.zeros(0, np.int64))._shared is small._shared
