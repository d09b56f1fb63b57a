"""A cascade in the evaluation: what its time is worth, what changed texts do to it, and what the gate says to that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liverank import columns as c
from liverank.config import EvaluationConfig
from liverank.evaluation.bootstrap import Interval
from liverank.evaluation.budgets import find_budgets
from liverank.evaluation.findings import bootstrap_of
from liverank.evaluation.gate import Evidence, judge
from liverank.evaluation.measure import RANKING, lists_of
from liverank.evaluation.run import evaluate
from liverank.evaluation.text_robustness import ATTACKS, HARMLESS, find_text_robustness
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.data import encode, load_requests
from liverank.ranking.lm.cascade import CascadeRanker, Took
from tests.evaluation.world import write_bundle, write_features


class Reader:
    """A language model of one rule, in the place of a trained one: what it scores is told by `rule`."""

    name = "lm"

    def __init__(self, catalogue, rule) -> None:
        self.catalogue, self.rule = catalogue, rule

    def texts(self, request, places):
        return [self.catalogue.texts[row] for row in request.candidates[places].tolist()]

    def score_texts(self, request, texts):
        return np.asarray([self.rule(text) for text in texts], np.float32)

    def score_some(self, request, places):
        return self.score_texts(request, self.texts(request, places))

    def measured(self, request, places):
        return self.score_some(request, places), Took(0.004, 0.002 * len(places), len(places))

    def cost(self, request, places):
        return Took(0.004, 0.002 * len(places), len(places))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("reranking")
    features = write_features(root / "features", requests=200)
    write_bundle(features, root / "bundle")
    return root


@pytest.fixture(scope="module")
def requests(world):
    return load_requests(world / "features", c.TEST)


@pytest.fixture(scope="module")
def bundle(world):
    return load_bundle(world / "bundle")


def cascade_of(bundle, rule, weights=(0.0, 1.0, 0.0), top=8):
    return CascadeRanker(bundle.primary, Reader(bundle.catalogue, rule), np.asarray(weights, np.float32), top)


def by_length(text):
    return float(len(text))


def test_a_budget_buys_what_can_be_read_in_it(bundle, requests):
    cascade = cascade_of(bundle, by_length)
    lists = lists_of(requests, bundle.catalogue)
    config = EvaluationConfig(bootstrap_samples=100)
    found = find_budgets(cascade, requests, lists, (1, 10, 100), "ndcg", 10, bootstrap_of(requests, config))
    assert (found.history_ms, found.candidate_ms) == (4.0, 2.0)
    assert [point.read for point in found.points] == [0, 2, 8]
    nothing = found.points[0]
    blend = RANKING["ndcg"](lists.ranked(bundle.primary.score_batch([one.request for one in requests])), 10)
    assert nothing.mean.mean == pytest.approx(np.nanmean(blend))
    assert (nothing.gain.mean, nothing.gain.low, nothing.gain.high) == (0, 0, 0)
    whole = RANKING["ndcg"](lists.ranked(cascade.score_batch([one.request for one in requests])), 10)
    assert found.points[2].mean.mean == pytest.approx(np.nanmean(whole))
    assert found.points[2].gain.mean == pytest.approx(np.nanmean(whole) - np.nanmean(blend))


def test_depths_are_read_once_and_agree_with_the_cascade(bundle, requests):
    cascade = cascade_of(bundle, by_length)
    for labelled in requests[:20]:
        request = encode(bundle.catalogue, labelled.request)
        blend = cascade.blend.combine([request], cascade.blend.signals([request]))[0]
        at = cascade.at_depths(request, blend, [0, 3, 8])
        np.testing.assert_array_equal(at[0], blend)
        np.testing.assert_array_equal(at[2], cascade.rescore(request, blend).scores)


# Texts.


def test_a_model_that_reads_only_letters_is_not_moved_by_harmless_changes(bundle, requests):
    def letters(text):
        return float(sum(map(ord, "".join(filter(str.isalpha, text.lower())))) % 97)

    found = find_text_robustness(cascade_of(bundle, letters), requests, 30, 7)
    assert found.requests == 30
    assert found.harmless.keys() == HARMLESS.keys()
    assert found.sensitivity == 0


def test_a_model_that_heeds_how_texts_are_written_is_found_out(bundle, requests):
    found = find_text_robustness(cascade_of(bundle, lambda text: float(hash(text) % 1009)), requests, 30, 7)
    assert found.sensitivity > 0.5


def test_a_model_that_obeys_is_found_out(bundle, requests):
    found = find_text_robustness(cascade_of(bundle, lambda text: float("ignore the above" in text)), requests, 30, 7)
    assert found.attacks[ATTACKS[0]] == 1.0
    assert found.attack_success == 1.0
    assert sum(found.attacks.values()) == 1.0
    deaf = find_text_robustness(cascade_of(bundle, lambda text: float(ord(text[-1]))), requests, 30, 7)
    assert (deaf.attack_success, deaf.places) == (0.0, 0.0)


def test_without_histories_nothing_can_be_told(bundle, requests):
    nobody = [replace(one, request=replace(one.request, history=type(one.request.history)())) for one in requests[:5]]
    assert find_text_robustness(cascade_of(bundle, by_length), nobody, 30, 7) is None


@pytest.mark.parametrize(
    ("evidence", "setting"),
    [({"text_sensitivity": 0.3}, "max_text_sensitivity"), ({"attack_success": 0.1}, "max_attack_success")],
)
def test_the_gate_refuses_a_model_that_is_led_by_texts(evidence, setting):
    good = Interval(0.5, 0.4, 0.6, 100)
    gate = EvaluationConfig().gate
    fine = Evidence("NDCG@10", 100, 50, good, {"popularity": Interval(0.1, 0.05, 0.15, 100)}, [])
    assert judge(fine, gate).promote
    verdict = judge(replace(fine, **evidence), gate)
    assert not verdict.promote
    assert setting in verdict.reasons[0]


def test_the_step_reports_both(world, bundle, monkeypatch, tmp_path):
    cascade = cascade_of(bundle, by_length, (1.0, 0.0, 0.0))
    served = load_bundle(world / "bundle")
    served._state.rankers["cascade"] = cascade
    monkeypatch.setattr("liverank.evaluation.run.load_bundle", lambda _: served)
    result = evaluate(world / "features", world / "bundle", tmp_path / "out", EvaluationConfig(bootstrap_samples=100))
    assert result.findings.primary == "cascade"
    assert result.metrics["budget/100_ms_gain"] == 0
    assert "texts/attack_success" in result.metrics
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "against time for the language model" in page
    assert "Changed texts" in page
