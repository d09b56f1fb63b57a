"""Explanations put to the test: what holds is told from what was made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverank import columns as c
from liverank.config import EvaluationConfig, GateConfig
from liverank.evaluation import faithfulness
from liverank.evaluation.bootstrap import Bootstrap
from liverank.evaluation.faithfulness import BINS, SHOWN, _summary, _Tested, find_faithfulness
from liverank.evaluation.findings import bootstrap_of
from liverank.evaluation.report.explanations import _marks
from liverank.evaluation.run import evaluate
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.data import load_requests
from liverank.ranking.event_effects import named
from liverank.ranking.protocol import History
from tests.evaluation.world import write_bundle, write_features

CONFIG = EvaluationConfig(bootstrap_samples=100)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("faithfulness")
    write_features(root / "features", requests=200, validation=60)
    write_bundle(root / "features", root / "bundle")
    return root


@pytest.fixture(scope="module")
def requests(world):
    return load_requests(world / "features", c.TEST)


@pytest.fixture(scope="module")
def blend(world):
    return load_bundle(world / "bundle").primary


def explained(blend, requests, most=40):
    return find_faithfulness(blend, requests, most, 5, bootstrap_of(requests, CONFIG))


def test_what_serving_says_of_events_holds_and_is_more_than_chance(blend, requests):
    found = explained(blend, requests)
    assert found is not None
    assert found.ranker == "blend"
    assert 20 <= found.requests <= 40
    assert found.requests <= found.items <= SHOWN * found.requests
    assert 1 <= found.named <= 3
    assert found.agreement.mean > 0.8
    assert found.correlation > 0.6
    assert found.error.mean < 0.8
    assert found.difference.low > 0
    assert found.difference.mean == pytest.approx(found.named_change.mean - found.other_change.mean)
    assert len(found.bins) == BINS
    assert [one.told for one in found.bins] == sorted(one.told for one in found.bins)
    assert sum(one.changed.requests for one in found.bins) == found.items


def test_the_same_seed_gives_the_same_figures(blend, requests):
    assert explained(blend, requests) == explained(blend, requests)


@pytest.mark.parametrize("lie", ["turned round", "others named"])
def test_a_lie_is_found_out(blend, requests, monkeypatch, lie):
    def turned(causes, effects):
        return [(cause, -effect) for cause, effect in named(causes, effects)]

    def weakest(causes, effects):
        honest = named(causes, effects)
        least = np.argsort(np.abs(effects), kind="stable")[: len(honest)].tolist()
        return [(causes[at], effect) for at, (_, effect) in zip(least, honest, strict=True)]

    honest = explained(blend, requests)
    monkeypatch.setattr(faithfulness, "named", turned if lie == "turned round" else weakest)
    found = explained(blend, requests)
    assert found.error.mean > honest.error.mean + 0.3
    assert found.correlation < honest.correlation - 0.2
    if lie == "turned round":
        assert found.agreement.mean == pytest.approx(1 - honest.agreement.mean)
    else:
        assert found.difference.mean < honest.difference.mean / 2


def test_figures_by_hand():
    told_true_others = [(1.0, 0.5, 0.1), (-1.0, -1.0, 0.0), (0.5, -0.5, 0.5), (2.0, 2.0, -0.4)]
    rows = [_Tested(f"u{at}", 2, *values) for at, values in enumerate(told_true_others)]
    found = _summary("blend", 2, rows, Bootstrap([], 100))
    assert found.agreement.mean == 0.75
    assert found.error.mean == pytest.approx((0.5 + 0 + 1 + 0) / 4)
    assert (found.named_change.mean, found.other_change.mean) == (1.0, 0.25)
    assert found.difference.mean == 0.75
    assert found.correlation == pytest.approx(np.corrcoef([1, -1, 0.5, 2], [0.5, -1, -0.5, 2])[0, 1])
    assert [one.told for one in found.bins] == [-1.0, 0.5, 1.0, 2.0]
    assert [one.changed.mean for one in found.bins] == [-1.0, -0.5, 0.5, 2.0]


def test_where_nothing_can_be_tested_nothing_is_said(blend, requests):
    assert explained(blend, requests, most=0) is None
    bare = [replace(one, request=replace(one.request, history=History())) for one in requests]
    assert explained(blend, bare) is None
    one_item = [
        replace(one, request=replace(one.request, history=History(["i1", "i1"], ["click"] * 2, [1.0, 2.0])))
        for one in requests
    ]
    assert explained(blend, one_item) is None


def test_it_reaches_metrics_and_gate(world, tmp_path):
    strict = replace_gate(min_faithfulness=1.0)
    result = evaluate(world / "features", world / "bundle", tmp_path, strict)
    found = result.findings.faithfulness
    assert result.metrics["faithfulness/agreement"] == found.agreement.mean
    assert result.metrics["faithfulness/named_minus_others_low"] == found.difference.low
    refused = any("evaluation.gate.min_faithfulness" in reason for reason in result.reasons)
    assert refused == (found.agreement.mean < 1)


def replace_gate(**settings):
    return EvaluationConfig(bootstrap_samples=100, explain_requests=20, gate=GateConfig(**settings))


@pytest.mark.parametrize(("low", "high"), [(-0.4, 1.3), (0.0, 0.02), (-3.0, 0.0), (0.0, 0.0)])
def test_the_axis_reaches_beyond_every_change(low, high):
    marks = [value for value, _ in _marks(low, high)]
    assert marks[0] <= low + 1e-9
    assert marks[-1] >= high - 1e-9
    assert len(marks) > 1
