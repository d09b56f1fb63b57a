"""The blend's weights: never worse than one signal alone, and what its signals and their products add."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from liverank.events import LARGEST_SCORE, Item
from liverank.features.assembly import candidate_list
from liverank.ranking import arrays
from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_learning import _no_worse_than_single, fit_blend, learn_blend
from liverank.ranking.blend_signals import LEAST_LISTS, NEW, SEGMENTS, paired, product_names, with_products
from liverank.ranking.data import LabelledRequest, encode, load_requests
from liverank.ranking.listwise import mean_ndcg
from liverank.ranking.protocol import Candidates, Context, History, Request
from tests.ranking.test_cold_price import popular


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


@settings(max_examples=25, deadline=None)
@given(scores=st.lists(st.floats(-3e38, 3e38), min_size=1, max_size=12))
@example(scores=[3e38, 3e38, -3e38])
@example(scores=[LARGEST_SCORE, LARGEST_SCORE, -LARGEST_SCORE])
def test_scores_of_the_blend_are_finite_whatever_finite_scores_come_in(bundle, scores):
    candidates = Candidates(bundle.catalogue.item_ids[: len(scores)], scores=np.asarray(scores, np.float32))
    (found,) = equal_blend(bundle).score_batch([Request(History(), candidates, Context(0.0))])
    assert np.isfinite(found).all()


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
