"""The evaluate step on a small world, with real bundles."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liverank import columns as c
from liverank.config import EvaluationConfig, GateConfig
from liverank.errors import BundleError, DataError
from liverank.evaluation.findings import EvaluationResult
from liverank.evaluation.run import evaluate
from liverank.evaluation.scoring import score_rankers
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.data import load_requests
from tests.evaluation.world import write_bundle, write_features

CONFIG = EvaluationConfig(bootstrap_samples=200)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("evaluation")
    features = write_features(root / "features")
    write_bundle(features, root / "good")
    write_bundle(features, root / "worse", shuffled=True)
    return root


@pytest.fixture(scope="module")
def first(world) -> EvaluationResult:
    return evaluate(world / "features", world / "good", world / "first", CONFIG)


@pytest.fixture(scope="module")
def against(world) -> EvaluationResult:
    return evaluate(world / "features", world / "good", world / "against", CONFIG, world / "worse")


def test_a_first_model_is_judged_by_the_baselines(first):
    assert first.promote
    assert any("no champion yet" in reason for reason in first.reasons)
    assert set(first.findings.rankers) == {"blend", "count", "popularity", "zero-shot", "incoming"}


def test_the_better_model_replaces_the_worse(against):
    assert against.promote
    assert against.findings.differences["champion"]["ndcg"].low > 0
    assert against.champion_hash != against.bundle_hash


def test_the_worse_model_is_refused(world, tmp_path):
    result = evaluate(world / "features", world / "worse", tmp_path, CONFIG, world / "good")
    assert not result.promote
    assert "the mean gain does not reach" in result.reasons[0]
    assert any(reason.startswith("Slice '") for reason in result.reasons)
    assert "Do not promote" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_model_against_itself_differs_by_nothing(world, tmp_path):
    result = evaluate(world / "features", world / "good", tmp_path, CONFIG, world / "good")
    gap = result.findings.differences["champion"]["ndcg"]
    assert (gap.mean, gap.low, gap.high) == (0, 0, 0)


def test_too_few_requests_are_refused(world, tmp_path):
    strict = EvaluationConfig(bootstrap_samples=100, gate=GateConfig(min_requests=1000))
    result = evaluate(world / "features", world / "good", tmp_path, strict)
    assert not result.promote
    assert "the gate needs 1000" in result.reasons[0]


def test_metrics_are_flat_finite_and_named_for_mlflow(against):
    assert all(math.isfinite(value) for value in against.metrics.values())
    assert all(re.fullmatch(r"[A-Za-z0-9_\-/]+", name) for name in against.metrics)
    for name in ("ndcg_at_10", "hit_rate_at_10", "recall_at_10", "mrr_at_10", "map_at_10", "precision_at_10", "auc"):
        assert against.metrics[f"blend/{name}_low"] <= against.metrics[f"blend/{name}"] + 1e-12
        assert f"blend_minus_champion/{name}" in against.metrics
    for name in ("coverage", "diversity", "novelty", "popularity", "long_tail", "popularity_lift", "exposure_gini"):
        assert f"blend/{name}_at_10" in against.metrics


def test_metrics_file_says_what_the_result_says(world, against):
    written = json.loads((world / "against" / "metrics.json").read_text(encoding="utf-8"))
    assert written == against.to_json()
    assert written["promote"] is True
    assert written["findings"]["judged"] == 108  # every tenth request has no answer
    assert written["findings"]["requests"] == 120
    assert "NaN" not in json.dumps(written)


def test_the_same_input_gives_the_same_bytes(world, against, tmp_path):
    evaluate(world / "features", world / "good", tmp_path, CONFIG, world / "worse")
    for name in ("metrics.json", "report.html", "per_request.parquet", "reference.parquet"):
        assert (tmp_path / name).read_bytes() == (world / "against" / name).read_bytes()


def test_means_are_the_means_of_the_per_request_table(world, against):
    table = pq.read_table(world / "against" / "per_request.parquet")
    assert table.num_rows == 120
    for ranker in ("blend", "count", "popularity", "zero-shot", "incoming", "champion"):
        column = table[f"{ranker}/ndcg"].to_numpy()
        assert np.nanmean(column) == pytest.approx(against.metrics[f"{ranker}/ndcg_at_10"])
        assert np.isnan(column).sum() == 12


def test_the_reference_agrees_with_the_per_request_table(world, against):
    """`request_table` computes NDCG and MRR on its own: a second implementation."""
    reference = pq.read_table(world / "against" / "reference.parquet")
    table = pq.read_table(world / "against" / "per_request.parquet")
    assert reference[c.REQUEST_ID].to_pylist() == table[c.REQUEST_ID].to_pylist()
    for theirs, ours in (("ndcg", "ndcg"), ("mrr", "mrr"), ("hit", "hit_rate")):
        assert reference[theirs].to_pylist() == pytest.approx(table[f"blend/{ours}"].to_pylist())


def test_slices_name_new_users_cold_items_surfaces_and_contexts(world, tmp_path):
    config = EvaluationConfig(bootstrap_samples=100, gate=GateConfig(min_requests=5))
    result = evaluate(world / "features", world / "good", tmp_path, config)
    parts = {part.name: part for part in result.findings.slices}
    # Users 54..59 have no history; two requests each, one of twelve without an answer.
    assert parts["new users (≤ 3 events)"].requests == parts["no history"].requests == 10
    assert parts["returning users (> 3 events)"].requests == 98
    assert {"surface = home", "surface = search", "device = phone", "device = tablet"} <= set(parts)
    assert any(name.startswith("cold right answer") for name in parts)
    home, search = parts["surface = home"], parts["surface = search"]
    mean = (home.means["blend"].mean * home.requests + search.means["blend"].mean * search.requests) / 108
    assert mean == pytest.approx(result.metrics["blend/ndcg_at_10"])


def test_retriever_requests_count_what_the_list_lacks(tmp_path):
    features = write_features(tmp_path / "features", source="retriever")
    bundle = write_bundle(features, tmp_path / "bundle")
    complete = evaluate(features, bundle, tmp_path / "complete", CONFIG)
    table = pq.read_table(features / "requests.parquet").to_pylist()
    for row in table:
        row[c.TRUTH] = [*row[c.TRUTH], "missed"]
        row[c.CONTEXT] = list(row[c.CONTEXT])
    schema = pq.read_schema(features / "requests.parquet")
    pq.write_table(pa.Table.from_pylist(table, schema=schema), features / "requests.parquet")
    missing = evaluate(features, bundle, tmp_path / "missing", CONFIG)
    assert missing.findings.judged == 120  # those without an answer in the list now missed theirs
    assert missing.metrics["blend/recall_at_10"] < complete.metrics["blend/recall_at_10"] / 2 + 0.01
    assert missing.metrics["blend/ndcg_at_10"] < complete.metrics["blend/ndcg_at_10"]
    assert missing.metrics["blend/auc"] == pytest.approx(complete.metrics["blend/auc"])


def test_the_report_stands_alone_and_shows_every_part(world, against):
    page = (world / "against" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 9
    assert not re.search(r"(?:src|href)=|<script|@import|url\(", page)
    parts = ("Promote", "by ranker", "against each other ranker", "by slice", "single requests", "All metrics")
    for part in (*parts, "by group of users", "Who is shown", "Scores as probabilities", "order of the candidates"):
        assert part in page
    assert f"{against.metrics['blend/ndcg_at_10']:.4f}" in page


def test_the_report_escapes_what_the_data_says(tmp_path):
    features = write_features(tmp_path / "features")
    table = pq.read_table(features / "requests.parquet")
    surface = pa.array(["<script>alert(1)</script>", "home"] * 60)
    table = table.set_column(table.schema.get_field_index(c.SURFACE), c.SURFACE, surface)
    pq.write_table(table, features / "requests.parquet")
    evaluate(features, write_bundle(features, tmp_path / "bundle"), tmp_path / "out", CONFIG)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "surface = &lt;script&gt;" in page


def test_nobody_answered_anything(tmp_path):
    features = write_features(tmp_path / "features")
    table = pq.read_table(features / "requests.parquet")
    silent = pa.array([[0.0] * 12] * 120, pa.list_(pa.float32()))
    table = table.set_column(table.schema.get_field_index(c.LABELS), c.LABELS, silent)
    pq.write_table(table, features / "requests.parquet")
    result = evaluate(features, write_bundle(features, tmp_path / "bundle"), tmp_path / "out", CONFIG)
    assert not result.promote
    assert result.reasons[0].startswith("Only 0 test requests could be judged")
    assert "blend/ndcg_at_10" not in result.metrics
    assert "undefined" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_no_test_request_is_said(tmp_path):
    features = write_features(tmp_path / "features", requests=0)
    with pytest.raises(DataError, match="no test request"):
        evaluate(features, tmp_path / "nowhere", tmp_path / "out", CONFIG)


def test_a_folder_without_features_is_said(tmp_path):
    with pytest.raises(DataError, match="is no features folder"):
        evaluate(tmp_path, tmp_path / "nowhere", tmp_path / "out", CONFIG)


class Broken:
    name = "broken"

    def __init__(self, value: float, extra: int = 0) -> None:
        self.value, self.extra = value, extra

    def score_batch(self, requests):
        return [np.full(len(request.candidates) + self.extra, self.value, np.float32) for request in requests]


@pytest.mark.parametrize(("ranker", "said"), [(Broken(np.nan), "not finite"), (Broken(1.0, 1), "13 scores for 12")])
def test_a_ranker_that_breaks_its_contract_is_named(world, ranker, said):
    requests = load_requests(world / "features", c.TEST)
    with pytest.raises(BundleError, match=f"Ranker broken gave .*{said}"):
        score_rankers({"broken": ranker}, requests)


def test_scores_do_not_depend_on_the_batch(world):
    requests = load_requests(world / "features", c.TEST)
    ranker = load_bundle(world / "good").primary
    batched = score_rankers({"blend": ranker}, requests)["blend"]
    alone = [ranker.score_batch([labelled.request])[0] for labelled in requests]
    assert all(np.array_equal(one, other) for one, other in zip(batched, alone, strict=True))


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    from liverank.cli.main import main

    monkeypatch.setattr("sys.argv", ["liverank", "evaluate", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_command_prints_the_table_and_the_verdict(world, tmp_path, monkeypatch, capsys):
    given = ["--features", str(world / "features"), "--bundle", str(world / "good"), "--out", str(tmp_path)]
    assert command(monkeypatch, *given) == 0
    said = capsys.readouterr().out
    assert "ndcg@10 on 108 judged requests" in said
    assert "The gate promotes this model." in said
    assert (tmp_path / "report.html").exists()


def test_command_ends_with_2_when_the_gate_refuses(world, tmp_path, monkeypatch, capsys):
    given = ["--features", str(world / "features"), "--bundle", str(world / "worse"), "--out", str(tmp_path)]
    assert command(monkeypatch, *given, "--champion", str(world / "good")) == 2
    assert "The gate refuses this model." in capsys.readouterr().err
