"""Effects of events are differences of scores in which all but the events is held, as a longer way finds them too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_signals import PAIRED
from liverank.ranking.count import CountRanker, evidence
from liverank.ranking.data import encode
from liverank.ranking.event_effects import LEAST_EFFECT, MOST_NAMED, Cause, ScoredList, named
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.ranking.sparse import block
from tests.ranking.contract import NOW, history_of


@pytest.fixture(scope="module")
def blend(bundle) -> BlendRanker:
    return bundle.rankers["blend"]


@pytest.fixture(scope="module")
def ids(bundle) -> list[str]:
    return list(bundle.catalogue.item_ids)


def asked(ids, past, candidates=40) -> Request:
    return Request(history_of(past), Candidates(ids[:candidates]), Context(NOW), "u")


def listed(blend, request) -> ScoredList:
    return ScoredList(blend, encode(blend.count.catalogue, request))


def some(ids) -> list[list[str]]:
    """Histories: of all different items, of items had more than once, of a candidate, of one event."""
    mixed = [ids[2], ids[60], ids[61], ids[60], "nobody-knows-it", ids[3], ids[60], ids[70]]
    return [ids[50:58], mixed, ids[3:6], [ids[45]]]


# The long way: every signal by its definition, from dense matrices, over the whole list.


def raw(blend, request):
    """Signals before scaling of all candidates, by name."""
    count: CountRanker = blend.count
    given, weight = encode(count.catalogue, request), None
    weight = evidence(given, count.type_weights)
    share = weight * count.config.query_decay**given.steps_back * (given.steps_back < count.config.query_items)
    transitions, texts = count.transitions.toarray(), count.item_vectors.toarray()
    profile = share @ texts[given.history] if len(given.history) else np.zeros(texts.shape[1])
    strength = np.zeros(len(count.catalogue))
    np.maximum.at(strength, given.history, weight)
    weights = blend.rankers["linear"].weights.toarray()
    length = np.linalg.norm(profile) or 1.0
    return {
        "transitions": (share @ transitions[given.history])[given.candidates],
        "text": texts[given.candidates] @ profile / length,
        "linear": np.maximum(strength @ weights, 0)[given.candidates],
        "zero-shot": blend.rankers["zero-shot"].similarity(given),
        "interest": blend.rankers["interest"].score_encoded([given])[0],
    }


def scaled(values, of):
    """The same signals by the scales of a list's values `of`."""
    found = {name: np.log1p(20 * values[name] / (of[name].max() or 1.0)) for name in ("transitions", "text", "linear")}
    found["zero-shot"] = (values["zero-shot"] - of["zero-shot"].mean()) / of["zero-shot"].std()
    found["interest"] = values["interest"] - of["interest"].mean()
    return found


def the_long_way(blend, request, items):
    """Scores of all candidates without the events of some items, by the scales and weights of the list with them."""
    past = request.history
    kept = [at for at, item in enumerate(past.item_ids) if item not in items]
    rest = History(*([of[at] for at in kept] for of in (past.item_ids, past.types, past.timestamps)))
    without = replace(request, history=rest)
    whole, left = raw(blend, request), raw(blend, without)
    signals = dict(zip(blend.signal_names, blend.signals([encode(blend.count.catalogue, without)])[0].T, strict=True))
    signals |= scaled(left, whole)
    best = (whole["interest"] - whole["interest"].mean()).max()
    chosen = {name: signals[name] for name in PAIRED}
    chosen["interest"] = np.maximum(signals["interest"] - best, -12) / 4
    products = [chosen[one] * chosen[other] for at, one in enumerate(PAIRED) for other in PAIRED[at:]]
    return np.stack([*(signals[name] for name in blend.signal_names), *products], 1) @ blend.weights[1]


@pytest.mark.parametrize("which", range(4))
def test_an_effect_is_the_score_minus_the_score_without_as_the_long_way_finds_it(blend, ids, which):
    request = asked(ids, some(ids)[which])
    scored = listed(blend, request)
    np.testing.assert_array_equal(scored.scores, blend.score_batch([request])[0])
    places, causes = np.asarray([7, 0, 3, 21, 39]), scored.causes()
    effects = scored.effects(places, causes)
    assert effects.shape == (len(causes), 5)
    for cause, found in zip(causes, effects, strict=True):
        longer = scored.scores - the_long_way(blend, request, {cause.item_id})
        np.testing.assert_allclose(found, longer[places], atol=2e-4)
    assert np.abs(effects).max() > 0.01


def test_items_left_out_together_do_not_add_up_but_are_what_they_are_together(blend, ids):
    request = asked(ids, ids[50:58])
    scored = listed(blend, request)
    places = np.arange(40)
    together = scored.scores - scored.without(places, [ids[50:58]])[0]
    np.testing.assert_allclose(together, scored.scores - the_long_way(blend, request, set(ids[50:58])), atol=2e-4)
    alone = scored.effects(places, scored.causes()).sum(0)
    assert np.abs(alone - together).max() > 0.01


def test_leaving_nothing_out_changes_nothing(blend, ids):
    scored = listed(blend, asked(ids, some(ids)[1]))
    np.testing.assert_allclose(scored.without(np.arange(40), [[]])[0], scored.scores, atol=1e-4)


def test_the_scores_of_the_others_have_no_part_in_it(blend, ids):
    """The places asked about are scored alone, by the scales of the whole list."""
    scored = listed(blend, asked(ids, ids[50:58]))
    causes = scored.causes()
    together = scored.effects(np.arange(40), causes)
    for place in (0, 13):
        np.testing.assert_allclose(scored.effects(np.asarray([place]), causes)[:, 0], together[:, place], atol=1e-4)


def test_context_but_for_the_time_is_read_by_no_ranker(blend, ids):
    request = asked(ids, ids[50:58])
    told = replace(request, context=Context(NOW, "home", {"device": "phone", "country": "de"}))
    later = replace(request, context=Context(NOW + 86_400 * 30 + 7_200))
    [plain, attributed, moved] = blend.score_batch([request, told, later])
    np.testing.assert_array_equal(plain, attributed)
    assert np.abs(plain - moved).max() > 0


# Causes.


def test_events_of_an_item_are_one_cause_told_by_the_strongest(blend, ids):
    types = ["click", "purchase", "click", "click"]
    weights = {"click": 0.3, "purchase": 1.0}
    counted = CountRanker(**{**_parts(blend.count), "type_weights": weights})
    changed = blend.over({**blend.rankers, "count": counted})
    past = History([ids[5], ids[6], ids[6], ids[5]], types, [NOW - 400, NOW - 300, NOW - 200, NOW - 100])
    causes = listed(changed, Request(past, Candidates(ids[:10]), Context(NOW))).causes()
    assert causes == [
        Cause(ids[5], "click", NOW - 100, 2, pytest.approx(0.3)),
        Cause(ids[6], "purchase", NOW - 300, 2, 1.0),
    ]


def _parts(count):
    names = ("catalogue", "config", "transitions", "popularity", "text", "weights", "item_vectors")
    return {name: getattr(count, name) for name in names}


@pytest.mark.parametrize("past", [[], ["nobody-knows-it"]])
def test_without_a_known_event_there_is_no_cause(blend, ids, past):
    scored = listed(blend, asked(ids, past))
    assert scored.causes() == scored.likeliest(np.arange(3), 3) == []
    assert scored.effects(np.arange(3), []).shape == (0, 3)


def test_an_item_never_met_has_the_effects_of_what_is_known_of_it(blend, ids):
    given = Candidates([*ids[:5], "new", "bare"], texts={"new": blend.count.catalogue.texts[50]})
    scored = listed(blend, Request(history_of(ids[50:54]), given, Context(NOW)))
    effects = scored.effects(np.asarray([5, 6]), scored.causes())
    assert np.abs(effects[:, 0]).max() > 0.01
    assert np.isfinite(effects).all()
    assert len(scored.likeliest(np.asarray([5, 6]), 2)) == 2


def test_the_likeliest_are_few_and_find_more_than_chance(blend, ids, features):
    from liverank.ranking.data import load_requests

    found, by_chance, rng = [], [], np.random.default_rng(3)
    for labelled in load_requests(features, "test")[:40]:
        scored = listed(blend, labelled.request)
        causes = scored.causes()
        if len(causes) < 6:
            continue
        places = np.argsort(-scored.scores)[:5]
        best = scored.effects(places, causes).max(0)
        chosen = scored.likeliest(places, 3)
        assert len(chosen) == 3
        drawn = [causes[at] for at in rng.permutation(len(causes))[:3]]
        found.append(scored.effects(places, chosen).max(0) >= best - 1e-3)
        by_chance.append(scored.effects(places, drawn).max(0) >= best - 1e-3)
    assert len(found) > 10
    assert np.mean(found) > 1.3 * np.mean(by_chance)


def test_the_named_are_few_strong_and_ordered_by_their_strength():
    causes = [Cause(f"i{at}", "click", 0.0, 1, 1.0) for at in range(5)]
    told = named(causes, np.asarray([0.1, -0.5, LEAST_EFFECT / 2, 0.3, 0.2], np.float32))
    assert [cause.item_id for cause, _ in told] == ["i1", "i3", "i4"]
    assert len(told) == MOST_NAMED
    assert [effect for _, effect in told] == pytest.approx([-0.5, 0.3, 0.2])
    assert named(causes[:1], np.asarray([0.009])) == []


def test_a_block_of_a_matrix_is_its_rows_at_its_columns(blend):
    rows, columns = np.asarray([4, 0, 9]), np.asarray([30, 2, 17, 5])
    expected = blend.count.transitions.toarray()[np.ix_(rows, columns)]
    np.testing.assert_allclose(block(blend.count.transitions, rows, columns), expected)
    assert block(blend.count.transitions, rows, columns[:0]).shape == (3, 0)
