"""Learned weights: the optimum, its prior, and the promise never to be worse than one signal alone."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from liverank.events import Item
from liverank.features.assembly import candidate_list
from liverank.ranking import arrays
from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_learning import _no_worse_than_single, fit_blend, learn_blend
from liverank.ranking.blend_signals import LEAST_LISTS, NEW, SEGMENTS, paired, product_names, with_products
from liverank.ranking.cold_price import _Best, _List, open_to_new
from liverank.ranking.count import segment
from liverank.ranking.data import LabelledRequest, encode, load_requests
from liverank.ranking.listwise import _loss, learn_weights, mean_ndcg, thinned, to_lists
from liverank.ranking.protocol import Candidates, Context, History, Request


def lists_of(count: int, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Lists whose first signal says what is liked, the second nothing."""
    rng = np.random.default_rng(seed)
    signals = [rng.normal(size=(12, 2)).astype(np.float32) for _ in range(count)]
    labels = [(np.arange(12) == int(values[:, 0].argmax())).astype(np.float32) for values in signals]
    return signals, labels


def test_gradient_agrees_with_differences():
    signals, labels = lists_of(30)
    labels[0][:4] = 1
    lists, prior = to_lists(signals, labels), np.asarray([0.3, -0.2])
    at = np.asarray([0.7, 0.1])
    _, gradient = _loss(at, lists, prior, 5.0)
    for which in (0, 1):
        step = np.eye(2)[which] * 1e-2
        difference = (_loss(at + step, lists, prior, 5.0)[0] - _loss(at - step, lists, prior, 5.0)[0]) / 2e-2
        assert gradient[which] == pytest.approx(difference, abs=2e-3)


def test_the_signal_that_knows_gets_the_weight():
    weights = learn_weights(to_lists(*lists_of(400)), np.zeros(2, np.float32), 1.0)
    assert weights[0] > 2
    assert abs(weights[1]) < 0.3


def test_few_lists_leave_the_prior_nearly_alone():
    prior = np.asarray([0.0, 1.0], np.float32)
    few = learn_weights(to_lists(*lists_of(1)), prior, 10.0)
    many = learn_weights(to_lists(*lists_of(400)), prior, 10.0)
    assert np.abs(few - prior).max() < 0.25 < np.abs(many - prior).max()


def test_lists_that_teach_nothing_are_left_out():
    signals, labels = lists_of(3)
    labels[0][:] = 0
    labels[1][:] = 1
    assert len(to_lists(signals, labels)) == 1
    empty = to_lists([], [])
    np.testing.assert_array_equal(learn_weights(empty, np.ones(2, np.float32), 1.0), [1, 1])


def test_ndcg_by_hand():
    labels = [np.asarray([0, 1, 1], np.float32), np.zeros(3, np.float32)]
    scores = [np.asarray([3, 2, 1], np.float32), np.ones(3, np.float32)]
    expected = (1 / np.log2(3) + 1 / np.log2(4)) / (1 + 1 / np.log2(3))
    assert mean_ndcg(scores, labels) == pytest.approx(expected)
    assert mean_ndcg([], []) == 0


def test_scores_that_are_none_are_refused():
    scores = [np.asarray([np.nan, 2, 1], np.float32)]
    with pytest.raises(ValueError, match="NaN"):
        mean_ndcg(scores, [np.asarray([1, 0, 0], np.float32)])


def test_equal_scores_are_worth_their_mean_over_all_orders():
    scores, labels = np.asarray([1, 2, 1, 1], np.float32), np.asarray([1, 0, 0, 0], np.float32)
    orders = [np.asarray(order) for order in itertools.permutations(range(4))]
    by_chance = np.mean([mean_ndcg([scores[at] + 1e-3 * np.arange(4)], [labels[at]], k=3) for at in orders])
    assert all(mean_ndcg([scores[at]], [labels[at]], k=3) == pytest.approx(by_chance) for at in orders)


def test_a_signal_that_says_nothing_is_not_taken_for_the_order_of_the_lists(bundle, features):
    """Lists with the clicked item first would make any constant signal perfect, were ties left in the list's order."""
    top_clicked = clicked_by_place(features, 60, reranked=False, logged=True)
    blank = {**bundle.rankers, "zero-shot": Silent()}
    _, report = fit_blend(blank, top_clicked)
    assert report.ndcg["zero-shot"] == pytest.approx(mean_ndcg([np.zeros(10)], [np.eye(10)[0]]))
    assert not any("zero-shot alone" in note for note in report.notes)


class Silent:
    """A zero-shot ranker without any text to go by."""

    def similarity(self, request):
        return np.zeros(len(request.candidates), np.float32)


def test_blend_is_no_worse_than_any_single_ranker_on_validation(fitted):
    ndcg = fitted[1].validation_ndcg
    assert {"count", "popularity", "zero-shot", "linear", "interest", "incoming", "blend"} <= set(ndcg)
    assert ndcg["blend"] >= max(value for name, value in ndcg.items() if name != "incoming")


def test_too_few_requests_keep_the_prior_and_say_so(bundle, features):
    blend, report = fit_blend(bundle.rankers, load_requests(features, "validation")[: LEAST_LISTS - 1])
    assert any("too few" in note for note in report.notes)
    assert np.isfinite(blend.weights).all()


def test_no_validation_requests_at_all(bundle):
    blend, report = fit_blend(bundle.rankers, [])
    assert report.lists == {"newcomers": 0, "returning": 0}
    assert blend.weights.any()


INCOMING_FIELDS = ("incoming_position", "incoming_score")


def clicked_by_place(features, count: int, reranked: bool, logged: bool) -> list[LabelledRequest]:
    """Lists whose one click depends on the shown place alone: the chance falls with its square.

    Items come in at random; `reranked` shows them in another random order, `logged` writes down how they came in.
    """
    rng = np.random.default_rng(5)
    known = [one for one in load_requests(features, "validation") if len(one.request.candidates) > 9]
    lists = []
    for at in range(count):
        source = known[at % len(known)]
        items = [str(item) for item in rng.permutation(np.asarray(source.request.candidates.item_ids))[:10]]
        places = rng.permutation(10) + 1 if reranked else np.arange(1, 11)
        lines: list[dict[str, Any]] = [
            {
                "item_id": item,
                "position": int(place),
                "score": 1 - place / 10,
                "incoming_position": came + 1,
                "incoming_score": 1 - came / 10,
            }
            for came, (item, place) in enumerate(zip(items, places, strict=True))
        ]
        chances = np.asarray([1 / line["position"] ** 2 for line in lines])
        clicked = lines[rng.choice(10, p=chances / chances.sum())]["item_id"]
        if not logged:
            lines = [{**line, **dict.fromkeys(INCOMING_FIELDS)} for line in lines]
        order, scores = candidate_list(lines)
        candidates = Candidates(order, scores=np.asarray(scores, np.float32))
        labels = np.asarray([item == clicked for item in order], np.float32)
        lists.append(
            replace(
                source,
                request=replace(source.request, candidates=candidates),
                labels=labels,
                truth=(clicked,),
                source="impressions",
            )
        )
    return lists


def weights_of_incoming(report) -> list[float]:
    """The learned weight of each segment that had lists enough."""
    learned = [name for name in SEGMENTS if report.lists[name] >= LEAST_LISTS]
    assert learned
    return [report.weights[name]["incoming"] for name in learned]


def test_clicks_on_the_top_of_a_reranked_list_teach_no_trust_in_the_incoming_order(bundle, features):
    _, report = fit_blend(bundle.rankers, clicked_by_place(features, 400, reranked=True, logged=True))
    assert max(abs(weight) for weight in weights_of_incoming(report)) < 0.2
    # The same lists in the order shown, which is all that a log without incoming positions tells.
    _, report = fit_blend(bundle.rankers, clicked_by_place(features, 400, reranked=True, logged=False))
    assert min(weights_of_incoming(report)) > 0.6


def test_the_blend_is_never_the_incoming_order_alone(bundle, features):
    blend, report = fit_blend(bundle.rankers, clicked_by_place(features, 60, reranked=False, logged=True))
    assert max(report.ndcg, key=lambda name: report.ndcg[name]) in ("incoming", "blend")
    assert np.abs(blend.weights[:, :-1]).max(axis=1).min() > 0
    assert report.ndcg["blend"] >= max(value for name, value in report.ndcg.items() if name != "incoming")
    passed_over = any("the incoming order did best" in note for note in report.notes)
    assert passed_over == (report.ndcg["incoming"] > report.ndcg["blend"])


def equal_blend(bundle) -> BlendRanker:
    """All signals, the incoming one too, with a weight of 1."""
    blend = BlendRanker(bundle.rankers, np.zeros((2, 0), np.float32), uses_incoming=True)
    blend.weights = np.ones((2, len(blend.weight_names)), np.float32)
    return blend


def test_where_the_incoming_order_wins_the_best_other_ranker_is_taken(bundle):
    blend = equal_blend(bundle)
    ndcg = {"count": 0.3, "popularity": 0.5, "incoming": 0.9, "blend": 0.4}
    notes: list[str] = []
    _no_worse_than_single(blend, ndcg, notes)
    assert ndcg["blend"] == 0.5
    named = dict(zip(blend.weight_names, blend.weights[1], strict=True))
    assert {name for name, weight in named.items() if weight} == {"popularity"}
    assert "passed over" in notes[0]
    assert "the blend is popularity alone" in notes[1]


def test_a_blend_that_beats_all_but_the_incoming_order_stays(bundle):
    blend = equal_blend(bundle)
    before, notes = blend.weights.copy(), []
    _no_worse_than_single(blend, {"count": 0.3, "popularity": 0.5, "incoming": 0.9, "blend": 0.6}, notes)
    np.testing.assert_array_equal(blend.weights, before)
    assert len(notes) == 1


def lists_with_new_items(blend, cold: int, warm: int = 200):
    """Lists of 40 with ten new items; popularity tells the wanted item, but new ones stand three lower."""
    rng = np.random.default_rng(2)
    names = blend.signal_names
    signals, labels = [], []
    for at in range(cold + warm):
        row = np.zeros((40, len(names)), np.float32)
        row[:10, names.index(NEW)] = 1
        row[:, names.index("popularity")] = rng.normal(size=40)
        wanted = rng.integers(10) if at < cold else 10 + rng.integers(30)
        row[wanted, names.index("popularity")] += 2
        row[:10, names.index("popularity")] -= 3
        signals.append(row)
        labels.append(np.eye(40, dtype=np.float32)[wanted])
    return signals, labels


def popular(bundle, features, count: int, of: int = 1):
    """A blend of popularity alone, and so many requests of a segment."""
    blend = BlendRanker(bundle.rankers, np.zeros((2, 0), np.float32))
    blend.weights = np.zeros((2, len(blend.weight_names)), np.float32)
    blend.weights[:, blend.signal_names.index("popularity")] = 1
    requests = [encode(bundle.catalogue, one.request) for one in load_requests(features, "validation")]
    return blend, ([one for one in requests if segment(one) == of] * count)[:count]


@pytest.mark.parametrize("price", [0.02, 0.2])
def test_new_items_come_up_as_far_as_their_price_reaches(bundle, features, price):
    blend, requests = popular(bundle, features, 260)
    signals, labels = lists_with_new_items(blend, 60)
    before, notes = blend.combine(requests, signals), []
    told = open_to_new(blend, requests, signals, labels, price, notes)
    after = blend.combine(requests, signals)
    paid = mean_ndcg(after[60:], labels[60:]) / mean_ndcg(before[60:], labels[60:])
    assert 1 - price <= paid < 1
    assert mean_ndcg(after[:60], labels[:60]) > 2 * mean_ndcg(before[:60], labels[:60])
    assert told == pytest.approx(mean_ndcg(after, labels))
    moved = blend.weights - popular(bundle, features, 1)[0].weights
    assert np.argwhere(moved).tolist() == [[SEGMENTS.index("returning"), blend.signal_names.index(NEW)]]
    assert "on 60 validation lists" in notes[0]


def test_without_lists_that_want_new_items_nothing_is_paid(bundle, features):
    blend, requests = popular(bundle, features, 200 + LEAST_LISTS - 1)
    signals, labels = lists_with_new_items(blend, LEAST_LISTS - 1)
    before, notes = blend.weights.copy(), []
    told = open_to_new(blend, requests, signals, labels, 0.1, notes)
    np.testing.assert_array_equal(blend.weights, before)
    assert told == pytest.approx(mean_ndcg(blend.combine(requests, signals), labels))
    assert not notes


def test_each_segment_pays_for_itself(bundle, features):
    """Newcomers with lists enough are raised, users with a history who have too few of them are not."""
    blend, newcomers = popular(bundle, features, 260, of=0)
    _, returning = popular(bundle, features, LEAST_LISTS - 1, of=1)
    signals, labels = lists_with_new_items(blend, 60)
    few, fewer = lists_with_new_items(blend, LEAST_LISTS - 1, 0)
    before, notes = blend.weights.copy(), []
    open_to_new(blend, [*newcomers, *returning], [*signals, *few], [*labels, *fewer], 0.1, notes)
    assert np.argwhere(blend.weights - before).tolist() == [[0, blend.signal_names.index(NEW)]]
    assert [note.split(":")[0] for note in notes] == ["newcomers"]


@pytest.mark.parametrize(("known", "paid"), [(0.0, False), (0.3, False), (2.0, True)])
def test_new_items_that_cannot_be_told_apart_are_not_paid_for(bundle, features, known, paid):
    """How much higher the wanted new item stands than the other new ones, in deviations of a list's scores."""
    blend, requests = popular(bundle, features, 260)
    signals, labels = lists_with_new_items(blend, LEAST_LISTS)
    column = blend.signal_names.index("popularity")
    for row, label in zip(signals[:LEAST_LISTS], labels, strict=False):
        row[:, column] += np.float32(known - 2) * label
    before, notes = blend.weights.copy(), []
    open_to_new(blend, requests[: len(signals)], signals, labels, 0.1, notes)
    assert (blend.weights != before).any() == paid
    assert len(notes) == paid


@pytest.mark.parametrize("more", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("fresh", [False, True])
def test_what_a_kind_of_items_is_expected_to_get_is_the_sum_over_all_of_them(more, fresh):
    rng = np.random.default_rng(3)
    lists = [
        _List(rng.normal(size=size).astype(np.float32), np.arange(size) % 3 == 0, np.arange(size) == 1)
        for size in (4, 30, 60)
    ]
    gained = wanted = 0.0
    for one in lists:
        own = one.fresh == fresh
        chance = np.exp(one.scores) / np.exp(one.scores).sum() * own
        ranks = np.argsort(np.argsort(-(one.scores + np.float32(more) * ~own)))
        gained += float((chance * np.where(ranks < 10, 1 / np.log2(ranks + 2), 0)).sum())
        wanted += float(chance.sum())
    found = _Best.of(lists, fresh).expected(_Best.of(lists, not fresh), more)
    assert found == pytest.approx(gained / wanted, rel=1e-5)


def test_new_items_that_are_found_as_it_is_are_not_paid_for(bundle, features):
    blend, requests = popular(bundle, features, 260)
    signals, labels = lists_with_new_items(blend, 60)
    for row in signals:
        row[:10, blend.signal_names.index("popularity")] += 6
    before, notes = blend.weights.copy(), []
    open_to_new(blend, requests, signals, labels, 0.1, notes)
    np.testing.assert_array_equal(blend.weights, before)
    assert not notes


def test_products_by_hand():
    names = ("transitions", "text", "popularity", "zero-shot", "linear", "interest", NEW)
    signals = np.asarray([[1, 2, 9, 9, 3, 5, 9], [2, 0, 9, 9, 1, -3, 9], [0, 0, 9, 9, 0, -99, 9]], np.float32)
    found = with_products(signals, paired(names), names)
    one = [1 * 1, 1 * 2, 1 * 3, 0, 2 * 2, 2 * 3, 0, 3 * 3, 0, 0]
    other = [2 * 2, 0, 2 * 1, 2 * -2, 0, 0, 0, 1 * 1, 1 * -2, -2 * -2]
    last = [0, 0, 0, 0, 0, 0, 0, 0, 0, 9]
    np.testing.assert_array_equal(found, np.column_stack([signals, np.asarray([one, other, last], np.float32)]))
    assert product_names(names)[:3] == ("transitions x transitions", "transitions x text", "transitions x linear")
    assert len(product_names(names)) == 10
    assert with_products(signals[:0], paired(names), names).shape == (0, 17)
    assert product_names(("popularity", "text")) == ("text x text",)


def test_what_signals_add_is_the_score(bundle, features):
    blend = bundle.rankers["blend"]
    blend = BlendRanker(blend.rankers, np.random.default_rng(3).normal(size=blend.weights.shape), blend.uses_incoming)
    requests = [encode(bundle.catalogue, one.request) for one in load_requests(features, "validation")[:20]]
    for request, scores in zip(requests, blend.combine(requests, blend.signals(requests)), strict=True):
        np.testing.assert_allclose(blend.contributions(request).sum(axis=1), scores, atol=1e-4)


def test_a_blend_from_before_there_were_products_is_read(bundle, tmp_path):
    blend = bundle.rankers["blend"]
    width = len(blend.signal_names)
    arrays.write(tmp_path, {"weights": blend.weights[:, :width]}, {"signals": list(blend.signal_names)})
    read = BlendRanker.load(tmp_path, blend.rankers)
    np.testing.assert_array_equal(read.weights[:, :width], blend.weights[:, :width])
    assert read.weights.shape == blend.weights.shape
    assert not read.weights[:, width:].any()


def test_agreement_of_two_signals_is_learned(bundle, features):
    """What is wanted is where transitions and text agree, not where one of them is highest."""
    blend, requests = popular(bundle, features, 300)
    names, rng = blend.signal_names, np.random.default_rng(2)
    signals, labels = [], []
    for _ in range(300):
        row = np.zeros((30, len(names)), np.float32)
        row[:, names.index("transitions")], row[:, names.index("text")] = rng.uniform(0, 3, (2, 30))
        both = row[:, names.index("transitions")] * row[:, names.index("text")]
        signals.append(row)
        labels.append(np.eye(30, dtype=np.float32)[int(both.argmax())])
    report = learn_blend(blend, requests, signals, labels)
    assert report.ndcg["blend"] > 0.98
    assert report.weights["returning"]["transitions x text"] > 0.5


def test_weights_from_a_part_of_long_lists_are_those_of_all_of_them():
    rng = np.random.default_rng(4)
    truth = np.asarray([1.5, -0.5, 0.0], np.float32)
    signals, labels = [], []
    for _ in range(300):
        row = rng.normal(size=(3000, 3)).astype(np.float32)
        chance = np.exp(row @ truth)
        signals.append(row)
        labels.append(np.eye(1, 3000, int(rng.choice(3000, p=chance / chance.sum())), dtype=np.float32)[0])
    whole = learn_weights(to_lists(signals, labels), np.zeros(3, np.float32), 1.0)
    kept = [thinned(row @ np.asarray([1, 0, 0], np.float32), label) for row, label in zip(signals, labels, strict=True)]
    rows = [row[chosen] for row, (chosen, _) in zip(signals, kept, strict=True)]
    of = [label[chosen] for label, (chosen, _) in zip(labels, kept, strict=True)]
    part = learn_weights(to_lists(rows, of, [stands for _, stands in kept]), np.zeros(3, np.float32), 1.0)
    assert len(rows[0]) < 3000 / 4
    np.testing.assert_allclose(part, whole, atol=0.1)
    np.testing.assert_allclose(part, truth, atol=0.2)


def test_only_what_a_text_tells_of_is_new(bundle):
    met = int(np.flatnonzero(bundle.catalogue.train_events > 0)[0])
    items = [Item(item_id="told", title="A green lamp"), Item(item_id="bare")]
    catalogue, changed = bundle.catalogue.with_items(items)
    catalogue.embeddings[changed] = 0.1
    rankers = bundle.rankers["blend"].rankers
    blend = BlendRanker({name: ranker.on(catalogue, changed) for name, ranker in rankers.items()}, np.zeros((2, 0)))
    names = [catalogue.item_ids[met], "told", "bare", "unknown", "unknown with a text"]
    candidates = Candidates(names, texts={"unknown with a text": "A red lamp", "unknown": ""})
    request = encode(catalogue, Request(History([]), candidates, Context(0.0)))
    assert blend.signals([request])[0][:, blend.signal_names.index(NEW)].tolist() == [0, 1, 0, 0, 1]
