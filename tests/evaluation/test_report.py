"""Everything that evaluation can tell, on one small world: in the figures, in the report and in docs/evaluation.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from liverank.config import EvaluationConfig, GateConfig, TrainingConfig
from liverank.config.training import InterestConfig
from liverank.errors import DataError
from liverank.evaluation.attributes import read_told
from liverank.evaluation.findings import EvaluationResult
from liverank.evaluation.report.curves import Axis, Series, line_plot
from liverank.evaluation.report.trust import _marks
from liverank.evaluation.run import evaluate
from tests.conftest import ROOT
from tests.evaluation.world import write_attributes, write_bundle, write_features

CONFIG = EvaluationConfig(
    bootstrap_samples=100,
    order_requests=40,
    ablations=True,
    learning_curve=True,
    learning_curve_shares=(0.5, 1.0),
    user_context=("device",),
    gate=GateConfig(min_requests=10, min_users=5),
)
NO_INTEREST = TrainingConfig(interest=InterestConfig(enabled=False))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("report")
    write_attributes(write_features(root / "features", validation=60))
    write_bundle(root / "features", root / "bundle", config=NO_INTEREST)
    return root


@pytest.fixture(scope="module")
def result(world) -> EvaluationResult:
    return evaluate(world / "features", world / "bundle", world / "out", CONFIG)


@pytest.fixture(scope="module")
def page(world, result) -> str:
    return (world / "out" / "report.html").read_text(encoding="utf-8")


def test_attributes_of_users_reach_the_groups(result):
    groups = {by.name: by for by in result.findings.groups}
    assert [one.name for one in groups["age"].groups] == ["old", "young"]
    assert groups["age"].kind == "attribute"
    assert groups["age"].left_out == result.findings.judged - sum(one.requests for one in groups["age"].groups) > 0
    assert "plan" not in groups  # everybody has a plan of their own: nobody is told by it
    assert {"device", "history length"} <= set(groups)


def test_providers_of_items_reach_exposure(result):
    exposure = {by.attribute: by for by in result.findings.exposure.groups}
    assert set(exposure) == {"category", "provider"}
    for by in exposure.values():
        for name in result.findings.rankers:
            assert sum(one.exposure[name] for one in by.groups) == pytest.approx(1)
            assert result.metrics[f"exposure/{name}_{by.attribute}_misplaced_at_10"] == by.misplaced[name]
        assert sum(one.candidates for one in by.groups) == pytest.approx(1)
        assert sum(one.relevance for one in by.groups) == pytest.approx(1)
    assert {one.name for one in exposure["provider"].groups} == {"shop 0", "shop 1", "shop 2", "shop 3", "(none)"}


def test_a_ranker_by_popularity_is_the_most_popular_and_most_concentrated(result):
    rankers = result.findings.rankers
    for name in set(rankers) - {"popularity"}:
        assert rankers["popularity"]["popularity"].mean > rankers[name]["popularity"].mean
        assert rankers["popularity"]["long_tail"].mean <= rankers[name]["long_tail"].mean
    # Who likes one kind of item is served that kind by the blend, and any kind by popularity.
    assert result.findings.differences["popularity"]["category_calibration"].high < 0


def test_our_rankers_do_not_heed_the_order_of_candidates(result):
    for one in result.findings.order:
        assert one.changed == 0
        assert one.largest_difference < 1e-6
    assert result.metrics["order/blend_changed"] == 0


def test_nothing_but_the_results_is_left(world, result):
    left = {path.name for path in (world / "out").iterdir()}
    assert left == {"metrics.json", "report.html", "per_request.parquet", "reference.parquet"}


def test_metrics_file_says_what_the_result_says(world, result):
    assert json.loads((world / "out" / "metrics.json").read_text(encoding="utf-8")) == result.to_json()


def test_the_report_shows_every_section(result, page):
    assert not re.search(r"(?:src|href)=|<script|@import|url\(", page)
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    for part in ("by group of users", "Who is shown", "Exposure by category", "Exposure by provider", "probabilities"):
        assert any(part in title for title in titles), part
    for part in ("order of the candidates", "named events", "What each part brings", "against training events"):
        assert any(part in title for title in titles), part
    shown = re.findall(r'aria-label="([^"]*)"', page)
    assert {"Lorenz curve of exposure", "Reliability diagram", "NDCG@10 against training events"} <= set(shown)
    assert {"Told and true changes", "Change of a score without events"} <= set(shown)
    assert "NDCG@10 by age" in shown
    assert f"{result.findings.ablations.whole.mean:.4f}" in page


def test_nothing_is_said_of_what_was_not_asked_for(world, tmp_path):
    plain = EvaluationConfig(bootstrap_samples=100, order_shuffles=0, explain_requests=0)
    found = evaluate(world / "features", world / "bundle", tmp_path, plain)
    assert found.findings.order == []
    assert found.findings.ablations is found.findings.learning_curve is found.findings.faithfulness is None
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for part in ("order of the candidates", "named events", "What each part brings", "against training events"):
        assert part not in page
    left_out = ("ablation/", "learning_curve/", "order/", "faithfulness/")
    assert not any(name.startswith(left_out) for name in found.metrics)


def test_attributes_are_optional_but_must_be_readable(tmp_path):
    features = write_features(tmp_path / "features")
    told = read_told(features, "provider")
    assert (told.users, told.providers) == ({}, {})
    write_attributes(features)
    told = read_told(features, "provider")
    assert told.users["u0"] == {"age": "young", "plan": "plan 0"}
    assert told.providers["i1"] == "shop 1"
    assert "i0" not in told.providers
    (features / "users.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"users\.parquet cannot be read"):
        read_told(features, "provider")


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    """What the command would evaluate with."""
    from liverank.cli.main import main

    asked: dict[str, Any] = {}

    def stop(features, bundle, out, config, champion):
        asked.update(config.model_dump())
        raise DataError("asked")

    monkeypatch.setattr("liverank.evaluation.run.evaluate", stop)
    given = ["--features", "f", "--bundle", "b", "--out", "o"]
    monkeypatch.setattr("sys.argv", ["liverank", "evaluate", *given, *arguments])
    with pytest.raises(SystemExit):
        main()
    return asked


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (False, False)),
        (["--ablations", "--learning-curve"], (True, True)),
        (["--set", "evaluation.ablations=true"], (True, False)),
        (["--set", "evaluation.ablations=true", "--no-ablations"], (False, False)),
    ],
)
def test_the_command_asks_for_ablations_and_learning_curve(monkeypatch, arguments, expected):
    asked = command(monkeypatch, *arguments)
    assert (asked["ablations"], asked["learning_curve"]) == expected


# Plots.


def test_a_line_plot_names_each_line_without_overlap():
    series = [Series(f"ranker {at}", [(0.0, 0.0), (1.0, 0.5 + at / 1000)], "other") for at in range(4)]
    axis = Axis([(0.0, "0"), (1.0, "1")], "x")
    drawn = line_plot(series, axis, axis, "a < b")
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)" class="label"', drawn))
    assert all(high - low >= 15 for low, high in pairwise(heights))
    assert drawn.count("<polyline") == 4
    assert 'aria-label="a &lt; b"' in drawn


@pytest.mark.parametrize("top", [0.02, 0.2, 1.0])
def test_marks_end_at_the_top_and_keep_their_distance(top):
    marks = [value for value, _ in _marks(top)]
    assert marks[-1] == top
    assert marks == sorted(marks)
    roots = [value**0.5 for value in marks]
    assert all(high - low >= 0.09 * top**0.5 for low, high in pairwise(roots))


# docs/evaluation.md


def names(content: Any) -> Iterator[str]:
    """Every key of `metrics.json`; what the data or the configuration names is one word."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from names(value)
    elif isinstance(content, list):
        for value in content:
            yield from names(value)


def general(key: str, found: dict[str, Any]) -> str:
    """A flat name with what is particular to a run put in brackets."""
    for ranker in sorted(found["rankers"], key=len, reverse=True):
        key = re.sub(rf"^{ranker}_minus_.+?/", "<ranker>_minus_<other>/", key)
        key = re.sub(rf"^{ranker}/", "<ranker>/", key)
        key = re.sub(rf"^(exposure|order)/{ranker}_", r"\1/<ranker>_", key)
    key = re.sub(r"_(category|provider)_misplaced", "_<attribute>_misplaced", key)
    key = re.sub(r"_at_10", "_at_k", key)
    key = re.sub(r"^(group_gap)/(attribute|context|behaviour)_.*?(?:_low|_high)?$", r"\1/<kind>_<name>", key)
    key = re.sub(r"^ablation/.*_brings", "ablation/<part>_brings", key)
    key = re.sub(r"_(low|high)$", "", key)
    return re.sub(r"^(<ranker>.*)/\w+_at_k$", r"\1/<metric>_at_k", key)


def test_every_name_in_metrics_json_is_told(world, result):
    written = json.loads((world / "out" / "metrics.json").read_text(encoding="utf-8"))
    found = written["findings"]
    told = set(re.findall(r"`([^`]+)`", (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")))
    particular = {*found["rankers"], *found["sources"]}
    keys = {general(key, found) if "/" in key else key for key in names(written)} - particular
    assert sorted(keys - told) == []


def test_no_name_is_told_that_is_not_there(world, result):
    written = json.loads((world / "out" / "metrics.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    keys = {general(key, written["findings"]) if "/" in key else key for key in names(written)}
    told = {
        word
        for line in page.splitlines()
        if line.startswith("| `")
        for word in re.findall(r"`([^`]+)`", line.split("|")[1])
    }
    assert sorted(told - keys) == []


def test_every_setting_of_evaluation_is_told():
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    settings = [*EvaluationConfig.model_fields, *(f"gate.{name}" for name in GateConfig.model_fields)]
    missing = [name for name in settings if name != "gate" and f"evaluation.{name}`" not in page]
    assert missing == []


def test_per_request_columns_are_told(world, result):
    columns = pq.read_schema(world / "out" / "per_request.parquet").names[1:]
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert {f"`{column.split('/')[1]}`" for column in columns} - set(re.findall(r"`[^`]+`", page)) == set()
