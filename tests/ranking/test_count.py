"""Counts, signals and retrieval, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from liverank.config.training import CountConfig
from liverank.ranking.count import SIGNALS, CountRanker, log_scaled
from liverank.ranking.data import Catalogue, Events, encode
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.ranking.tfidf import TextVectors
from liverank.ranking.transitions import decayed_popularity, transition_counts

DAY = 86400.0


def catalogue_of(*titles: str) -> Catalogue:
    ids = tuple(f"i{at}" for at in range(len(titles)))
    return Catalogue(ids, titles, ("",) * len(ids), titles, np.zeros(len(ids), np.int64))


def events_of(rows: list[tuple[int, int, float]], weights: list[float] | None = None) -> Events:
    """Events from (user, item, day)."""
    user, item, day = (np.asarray(column) for column in zip(*rows, strict=True))
    weight = np.ones(len(rows)) if weights is None else np.asarray(weights)
    users = tuple(f"u{at}" for at in range(int(user.max()) + 1))
    zeros = np.zeros(len(rows), np.int16)
    columns = (user.astype(np.int32), item.astype(np.int32), zeros, weight.astype(np.float32), day * DAY)
    return Events(*columns, users, ("click",))


NEVER = 1e9
PLAIN = CountConfig(
    window=2, basket_weight=1, half_life_days=NEVER, popularity_half_life_days=NEVER, learn_weights=False
)


def test_transitions_count_one_over_distance_within_a_user():
    events = events_of([(0, 0, 1.0), (0, 1, 2.0), (0, 2, 3.0), (1, 3, 4.0)])
    expected = np.zeros((4, 4))
    expected[0, 1], expected[1, 2], expected[0, 2] = 1, 1, 0.5
    np.testing.assert_allclose(transition_counts(events, 4, PLAIN, 4 * DAY).toarray(), expected)


def test_one_basket_counts_both_ways_and_is_damped_by_its_size():
    events = events_of([(0, 0, 1.0), (0, 1, 1.0), (0, 2, 2.0)])
    counts = transition_counts(events, 3, PLAIN, 2 * DAY).toarray()
    np.testing.assert_allclose(counts[0, 1], 0.5)
    np.testing.assert_allclose(counts[1, 0], 0.5)
    np.testing.assert_allclose(counts[0, 2], 1 / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(counts[2, 0], 0)


def test_old_transitions_fade_by_the_half_life():
    events = events_of([(0, 0, 0.0), (0, 1, 10.0), (1, 1, 10.0), (1, 2, 20.0)])
    config = PLAIN.model_copy(update={"half_life_days": 10.0})
    counts = transition_counts(events, 3, config, 20 * DAY).toarray()
    np.testing.assert_allclose(counts[1, 2] / counts[0, 1], 2)


def test_evidence_against_an_item_is_no_transition_and_no_popularity():
    events = events_of([(0, 0, 1.0), (0, 1, 2.0)], weights=[1.0, -1.0])
    assert transition_counts(events, 2, PLAIN, 2 * DAY).nnz == 0
    np.testing.assert_allclose(decayed_popularity(events, 2, NEVER, 2 * DAY), [1, 0])


@pytest.mark.parametrize("rows", [[(0, 0, 1.0)], [(0, 0, 1.0), (1, 1, 1.0)]])
def test_nothing_follows_anything(rows):
    assert transition_counts(events_of(rows), 2, PLAIN, DAY).nnz == 0


def signals_of(ranker: CountRanker, history: History, ids: list[str]) -> dict[str, list[float]]:
    request = Request(history, Candidates(ids), Context(10 * DAY))
    values = ranker.signals([encode(ranker.catalogue, request)])[0]
    return {name: values[:, at].tolist() for at, name in enumerate(SIGNALS)}


def test_repeats_frequency_and_recency_by_hand():
    ranker = CountRanker.fit(catalogue_of("a", "b", "c"), events_of([(0, 0, 1.0), (0, 1, 2.0)]), PLAIN)
    history = History(["i0", "i1", "i0"], ["click"] * 3, [1 * DAY, 2 * DAY, 3 * DAY])
    signals = signals_of(ranker, history, ["i0", "i1", "i2"])
    np.testing.assert_allclose(signals["had"], [1, 1, 0])
    np.testing.assert_allclose(signals["repeats"], [np.log(3), np.log(2), 0], rtol=1e-6)
    np.testing.assert_allclose(signals["frequency"], [2 / 4, 1 / 4, 0])
    np.testing.assert_allclose(signals["recency"], [1, 0.9, 0], rtol=1e-6)


def test_all_signals_agree_with_those_of_a_list():
    rng = np.random.default_rng(0)
    rows = [(user, int(rng.integers(30)), float(day)) for user in range(40) for day in range(8)]
    titles = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in "abcdefghij"]
    ranker = CountRanker.fit(catalogue_of(*titles), events_of(rows), CountConfig())
    ids = list(ranker.catalogue.item_ids)
    request = Request(History(ids[3:9], ["click"] * 6, [1.0, 1.0, 2.0, 3.0, 3.0, 4.0]), Candidates(ids), Context(DAY))
    encoded = encode(ranker.catalogue, request)
    listed, every = ranker.signals([encoded])[0], ranker.all_signals([encoded])[0]
    np.testing.assert_allclose(listed, every, atol=1e-5)


def test_retrieval_finds_what_follows_and_never_repeats_an_id():
    rows = [(user, item, float(item)) for user in range(30) for item in (user % 3 * 3 + at for at in range(3))]
    ranker = CountRanker.fit(catalogue_of(*"abcdefghi"), events_of(rows), PLAIN)
    request = Request(History(["i3"], ["click"], [DAY]), Candidates(()), Context(2 * DAY))
    (found,) = ranker.retrieve([request], 4)
    assert len(found) == len(set(found)) == 4
    assert {"i4", "i5"} <= set(found)
    assert len(ranker.retrieve([request], 100)[0]) == 9
    assert ranker.retrieve([], 3) == []


def test_retrieval_without_a_history_is_popularity():
    rows = [(user, 1, 1.0) for user in range(9)] + [(9, 0, 1.0)]
    ranker = CountRanker.fit(catalogue_of("a", "b", "c"), events_of(sorted(rows)), PLAIN)
    assert ranker.retrieve([Request(History(), Candidates(()), Context(DAY))], 2) == [["i1", "i0"]]


def test_weights_are_learned_where_repeats_rule():
    """Everybody takes the same item again and again: repeats must come to weigh more than the prior says."""
    rows = [(user, user % 25, float(day)) for user in range(50) for day in range(10)]
    ranker = CountRanker.fit(catalogue_of(*(f"t{at}" for at in range(25))), events_of(rows), CountConfig())
    request = Request(History(["i7"] * 3, ["click"] * 3, [1.0, 2.0, 3.0]), Candidates(()), Context(DAY))
    assert ranker.retrieve([request], 1) == [["i7"]]


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [("red garden lamp", "garden lamp", "wool socks"), ("红色台灯", "蓝色台灯", "羊毛袜子")],
)
def test_text_similarity_in_english_and_chinese(query, near, far):
    vectors = TextVectors.fit([query, near, far])
    one, close, distant = vectors.transform([query, near, far]).toarray()
    assert one @ close > one @ distant == 0
    np.testing.assert_allclose(one @ one, 1, rtol=1e-5)


@pytest.mark.parametrize("texts", [[], [""], ["", "!?"]])
def test_items_without_text(texts):
    assert TextVectors.fit(texts).transform(texts).nnz == 0


def test_text_vectors_survive_the_disk():
    vectors = TextVectors.fit(["red lamp", "blue lamp", "蓝色台灯"])
    again = TextVectors.from_bytes(vectors.to_bytes(), vectors.idf)
    np.testing.assert_array_equal(again.transform(["blue 台灯"]).toarray(), vectors.transform(["blue 台灯"]).toarray())


def test_log_scaling_keeps_zero_and_order():
    scaled = log_scaled(np.asarray([0, 1, 2], np.float32))
    np.testing.assert_allclose(scaled, [0, np.log(11), np.log(21)], rtol=1e-6)
    assert not log_scaled(np.zeros(3, np.float32)).any()


def test_events_before_1970_count_as_later_ones_do():
    rows = [(user, item, 86400.0 * (user + item)) for user in range(4) for item in range(3)]
    now, then = events_of(rows), events_of([(user, item, at - 4e9) for user, item, at in rows])
    catalogue = catalogue_of("red lamp", "blue lamp", "green lamp")
    late, early = (CountRanker.fit(catalogue, events, CountConfig()) for events in (now, then))
    np.testing.assert_allclose(early.popularity, late.popularity)
    np.testing.assert_allclose(early.transitions.toarray(), late.transitions.toarray())
    assert early.transitions.nnz
