"""What every ranker promises; a test class a ranker inherits it and gives `ranker` and `reload`."""

from __future__ import annotations

import numpy as np
import pytest

from liverank.ranking.data import load_requests
from liverank.ranking.protocol import Candidates, Context, History, Ranker, Request, score

NOW = 1_770_000_000.0
TOLERANCE = 1e-5


def history_of(ids, start=NOW - 5000.0) -> History:
    return History(list(ids), ["click"] * len(ids), [start + 60.0 * at for at in range(len(ids))])


class RankerContract:
    """Each test takes one promise of `Ranker`."""

    def ranker(self, bundle) -> Ranker:
        raise NotImplementedError

    def reload(self, ranker, folder, bundle) -> Ranker:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    def subject(self, bundle) -> Ranker:
        return self.ranker(bundle)

    @pytest.fixture(scope="class")
    def requests(self, features) -> list[Request]:
        return [labelled.request for labelled in load_requests(features, "test")][:25]

    @pytest.fixture
    def ids(self, bundle) -> list[str]:
        return list(bundle.catalogue.item_ids)

    def test_is_a_ranker(self, subject):
        assert isinstance(subject, Ranker)

    def test_one_finite_float32_for_each_candidate(self, subject, requests):
        scores = subject.score_batch(requests)
        assert len(scores) == len(requests)
        for values, request in zip(scores, requests, strict=True):
            assert values.shape == (len(request.candidates),)
            assert values.dtype == np.float32
            assert np.isfinite(values).all()

    def test_no_requests_give_no_scores(self, subject):
        assert subject.score_batch([]) == []

    def test_same_input_same_scores(self, subject, requests):
        first, second = subject.score_batch(requests), subject.score_batch(requests)
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_batch_equals_single(self, subject, requests):
        together = subject.score_batch(requests)
        for request, values in zip(requests, together, strict=True):
            np.testing.assert_allclose(subject.score_batch([request])[0], values, atol=TOLERANCE)

    def test_order_of_candidates_does_not_matter(self, subject, ids):
        order = np.random.default_rng(1).permutation(30)
        given = np.linspace(1, 0, 30).astype(np.float32)
        straight = score(subject, history_of(ids[:5]), Candidates(ids[:30], scores=given), Context(NOW))
        shuffled = Candidates([ids[at] for at in order], scores=given[order])
        mixed = score(subject, history_of(ids[:5]), shuffled, Context(NOW))
        np.testing.assert_allclose(mixed, straight[order], atol=TOLERANCE)

    @pytest.mark.parametrize("history", [(), ("nobody-knows-it",), ("nobody-knows-it", "nor-this")])
    def test_histories_that_say_nothing(self, subject, ids, history):
        values = score(subject, history_of(history), Candidates(ids[:10]), Context(NOW))
        assert values.shape == (10,)
        assert np.isfinite(values).all()

    def test_history_without_types_and_times(self, subject, ids):
        assert np.isfinite(score(subject, History(ids[:4]), Candidates(ids[:10]), Context(NOW))).all()

    def test_unknown_items_with_and_without_text(self, subject, ids):
        candidates = Candidates([*ids[:4], "new-1", "new-2"], texts={"new-1": "a lamp for the garden"})
        values = score(subject, history_of(ids[:6]), candidates, Context(NOW))
        assert values.shape == (6,)
        assert np.isfinite(values).all()

    def test_only_unknown_items(self, subject, ids):
        assert np.isfinite(score(subject, history_of(ids[:3]), Candidates(["x", "y"]), Context(NOW))).all()

    def test_one_candidate(self, subject, ids):
        assert score(subject, history_of(ids[:3]), Candidates(ids[:1]), Context(NOW)).shape == (1,)

    def test_a_thousand_candidates(self, subject, ids):
        candidates = Candidates([*ids, *(f"unknown-{at}" for at in range(1000 - len(ids)))])
        values = score(subject, history_of(ids[:3]), candidates, Context(NOW))
        assert values.shape == (1000,)
        assert np.isfinite(values).all()

    def test_unknown_event_type_and_future_events(self, subject, ids):
        history = History(ids[:2], ["shrug", "click"], [NOW + 10, NOW + 20])
        assert np.isfinite(score(subject, history, Candidates(ids[:5]), Context(NOW))).all()

    def test_saved_and_loaded_it_scores_the_same(self, subject, requests, bundle, tmp_path):
        subject.save(tmp_path)
        loaded = self.reload(subject, tmp_path, bundle)
        for before, after in zip(subject.score_batch(requests), loaded.score_batch(requests), strict=True):
            np.testing.assert_array_equal(before, after)
        assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}
