"""Lists that the re-ranker learns from, and what is kept of those that it is judged on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from liverank.errors import DataError
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.count import CountRanker
from liverank.ranking.data import LabelledRequest, encode
from liverank.ranking.listwise import list_ndcg
from liverank.ranking.lm.cascade import cascade_signals, dealt
from liverank.ranking.lm.judging import Side, judged_list, orders
from liverank.ranking.lm.loading import load_scorer
from liverank.ranking.lm.training import train
from liverank.ranking.lm.training_lists import _Drawing, batches, training_lists
from liverank.ranking.protocol import Candidates, Context, Request, ranking
from tests.ranking.contract import NOW, history_of

CPU = torch.device("cpu")


def test_lists_hold_what_came_next_and_nothing_of_its_step(goods, config):
    count = CountRanker.fit(goods.catalogue, goods.events, config.count)
    lists = training_lists(goods.catalogue, goods.events, count, 100, 7, 40, seed=1)
    assert 90 <= len(lists) <= 100
    for one in lists:
        assert 2 <= len(one.rows) <= 8
        assert len(set(one.rows.tolist())) == len(one.rows)
        assert 1 <= len(one.request.history) < 8
    drawn = batches(lists, 16, 0) + batches(lists, 16, 1)
    assert len({id(one) for one in drawn}) == 32
    assert batches(lists, 16, len(lists))[0] is lists[16 * len(lists) % len(lists)]


def test_lists_are_found_by_counts_that_do_not_know_their_users(goods, config, monkeypatch):
    counted, signals, asked = CountRanker.counted, _Drawing.signals, []

    def noting(catalogue, events, *more):
        ranker = counted(catalogue, events, *more)
        ranker.knows = {events.users[user] for user in np.unique(events.user)}
        return ranker

    def asking(self, ranker, steps):
        asked.append(({goods.events.users[user] for user in goods.events.user[steps]}, ranker.knows))
        return signals(self, ranker, steps)

    count = CountRanker.fit(goods.catalogue, goods.events, config.count)
    monkeypatch.setattr(CountRanker, "counted", noting)
    monkeypatch.setattr(_Drawing, "signals", asking)
    lists = training_lists(goods.catalogue, goods.events, count, 200, 7, 10, seed=1)
    assert all(not users & knows for users, knows in asked)
    learned = {goods.events.users[of.user] for of in lists}
    assert all(learned & users for users, _ in asked[:2])
    # Ten of them, the right one among these: it stands there because it was found, and its score is told.
    assert all(of.known is not None and len(of.known) == len(of.rows) for of in lists)
    places = [int((of.known > of.known[0]).sum()) for of in lists]
    assert min(places) == 0
    assert max(places) > 0


def test_what_is_kept_of_lists_tells_what_reading_all_of_them_would(goods):
    rng, ids = np.random.default_rng(5), goods.catalogue.item_ids[:30]
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
        side.take(judged_list(whole, encode(goods.catalogue, request), scores, 5))
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


def test_where_nothing_that_came_next_is_found_it_is_said(goods, config):
    count = CountRanker.fit(goods.catalogue, goods.events, config.count)
    with pytest.raises(DataError, match="among the 1 best"):
        training_lists(goods.catalogue, goods.events, count, 200, 7, 1, seed=1)


def test_a_model_learns_what_is_to_be_added_to_what_is_known(goods, config, tmp_path):
    """Where the known scores already put the right one first by far, there is nothing left to learn."""
    prompts, scorer = load_scorer(config.lm.model, config.lm, CPU)
    count = CountRanker.fit(goods.catalogue, goods.events, config.count)
    lists = training_lists(goods.catalogue, goods.events, count, 60, 5, 40, seed=1)
    sure = [replace(one, known=np.asarray([50.0] + [0.0] * (len(one.rows) - 1), np.float32)) for one in lists]
    short = config.model_copy(update={"lm": config.lm.model_copy(update={"steps": 1})})
    path = Checkpoint(tmp_path / "sure.safetensors")
    report = train(scorer, prompts, goods.catalogue, sure, short, lambda _: 0.0, path)
    assert report.losses[-1] < 1e-6


def test_a_history_ends_before_the_step_it_foretells(goods, config):
    events = goods.events
    count = CountRanker.fit(goods.catalogue, events, config.count)
    for one in training_lists(goods.catalogue, events, count, 50, 7, 40, seed=1):
        assert (one.request.times < one.request.request.context.timestamp).all()
