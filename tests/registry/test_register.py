"""Registration, aliases and download on a real MLflow store: SQLite and a folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlparse

import pytest

from liverank.config import TrainingConfig
from liverank.errors import BundleError, RegistryError
from liverank.ranking.bundle_files import load_bundle
from liverank.registry import champion, champion_bundle, download, physical_uri, promote, resolve
from liverank.registry.connection import connected


def test_the_gate_moves_the_champion_and_keeps_the_previous(filled):
    first, better, worse = filled.first, filled.better, filled.worse
    assert (first.version, first.created, first.promoted) == ("1", True, True)
    assert (first.aliases, first.uri) == (("challenger", "champion"), "models:/liverank/1")
    assert (better.version, better.promoted) == ("2", True)
    assert (worse.version, worse.promoted, worse.aliases) == ("3", False, ("challenger",))
    now = champion(filled.config)
    assert now is not None
    assert (now.version, now.bundle_hash) == ("2", better.bundle_hash)
    assert now.reason.startswith("The gate: NDCG@10 against the champion")
    assert resolve(filled.config, "previous").version == "1"


def test_the_same_bundle_is_registered_once(config, models):
    first = models.first.register(config)
    again = models.first.register(config)
    assert again == replace(first, created=False)
    with connected(config) as client:
        assert len(client.search_model_versions("name = 'liverank'")) == 1


def test_a_verdict_against_another_champion_moves_nothing(config, models, capsys):
    """`better` was judged against `first`; meanwhile `worse` was promoted by hand."""
    models.first.register(config)
    third = models.worse.register(config)
    promote(config, third.version, "by hand")
    late = models.better.register(config)
    assert not late.promoted
    assert resolve(config, "champion").version == third.version
    assert "The champion has changed" in capsys.readouterr().err


def test_a_version_carries_bundle_evaluation_validation_and_card(filled, models):
    bundle = download(filled.config, "1")
    root = bundle.parent
    assert load_bundle(bundle).hash == filled.first.bundle_hash == load_bundle(models.first.bundle).hash
    for name in ("metrics.json", "report.html", "reference.parquet", "per_request.parquet"):
        assert (root / "evaluation" / name).read_bytes() == (models.first.evaluation / name).read_bytes()
    assert json.loads((root / "validation" / "result.json").read_text(encoding="utf-8"))["ok"] is True
    assert (root / "README.md").read_text(encoding="utf-8").startswith("# liverank: model card")
    assert not list(root.parent.rglob("*.pkl"))


def test_lineage_parameters_and_metrics_are_on_record(filled, models):
    made = filled.first
    tags = resolve(filled.config, made.version).tags
    assert tags["data_hash"] == "d" * 64
    assert tags["code_version"] == "0.1.0+abc"
    assert tags["pipeline_run_id"] == "run-7"
    assert tags["validation"] == "ok"
    assert tags["gate"] == "promote"
    metrics = json.loads((models.first.evaluation / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    with connected(filled.config) as client:
        run = client.get_run(made.run_id)
        trained = {"training/seconds/blend": 1.5, "training/interest/epochs": 2, "training/interest/processes": 2}
        trained["training/refit_events"] = 1234
        last = {"training/interest/losses": 1.0, "training/interest/ndcgs": 0.2}
        assert run.data.metrics == pytest.approx({**metrics, **trained, **last})
        curve = client.get_metric_history(made.run_id, "training/interest/losses")
        assert [(point.step, point.value) for point in curve] == [(1, 2.0), (2, 1.0)]
        assert run.data.params["trained_on"] == "2 x cpu"
        assert run.data.params["count.window"] == str(TrainingConfig().count.window)
        assert run.info.status == "FINISHED"
        card = client.get_model_version("liverank", made.version).description
    assert f"{metrics['blend/ndcg_at_10']:.4f} [" in card
    assert "d" * 64 in card
    assert "learned in the end from 1,234 events" in card
    assert "## Limits" in card


def test_a_rollback_is_a_promotion_of_previous(config, models):
    models.first.register(config)
    models.better.register(config)
    before = resolve(config, "champion")
    assert promote(config, "2", "the champion already") == before
    assert resolve(config, "previous").version == "1"

    back = promote(config, "previous", "clicks fell", now=datetime(2026, 5, 1, 12, tzinfo=UTC))
    assert back.version == "1"
    assert back.reason == "clicks fell"
    assert back.tags["promoted_at"] == "2026-05-01T12:00:00+00:00"
    assert back.tags["replaced_version"] == "2"
    assert resolve(config, "previous").version == "2"


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_promotion_needs_a_reason(config, reason):
    with pytest.raises(RegistryError, match="needs a reason"):
        promote(config, "1", reason)


def test_what_is_not_there_is_named_with_what_is(config, models):
    with pytest.raises(RegistryError, match=r"no version '9' .* none yet"):
        promote(config, "9", "why not")
    assert champion_bundle(config) is None
    models.worse.register(config)
    assert champion(config) is None
    with pytest.raises(
        RegistryError, match=r"no version '9' of model 'liverank'. Versions: 1; aliases: challenger \(1\)"
    ):
        promote(config, "9", "why not")
    with pytest.raises(RegistryError, match="no alias 'champion'"):
        download(config, "champion")


def test_the_local_bundle_is_used_where_it_lies(filled):
    folder = download(filled.config, "champion")
    assert folder == champion_bundle(filled.config)
    assert folder.as_uri().startswith(filled.config.artifact_location)
    assert Path(urlparse(physical_uri(filled.config, "2")).path) == folder
    assert physical_uri(filled.config, "champion").startswith("file:///")


def test_files_that_are_gone_are_said(config, models):
    models.first.register(config)
    shutil.rmtree(download(config, "champion"))
    with pytest.raises(RegistryError, match="has lost its files"):
        download(config, "champion")


def test_an_altered_bundle_is_not_registered(config, models, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(models.first.bundle, copy)
    with (copy / "count" / "settings.json").open("a", encoding="utf-8") as file:
        file.write(" ")
    with pytest.raises(BundleError, match="altered"):
        replace(models.first, bundle=copy).register(config)
    assert champion(config) is None


def test_an_evaluation_of_another_bundle_is_refused(config, models):
    with pytest.raises(RegistryError, match="judges another bundle"):
        replace(models.first, evaluation=models.better.evaluation).register(config)


def test_a_missing_evaluation_is_said(config, models, tmp_path):
    with pytest.raises(RegistryError, match=r"metrics\.json, the evaluation's figures, cannot be read"):
        replace(models.first, evaluation=tmp_path).register(config)


def test_the_users_own_mlflow_settings_stay(config, models):
    import mlflow

    mlflow.set_tracking_uri("sqlite:////nowhere/else.db")
    try:
        models.first.register(config)
        assert mlflow.get_tracking_uri() == "sqlite:////nowhere/else.db"
    finally:
        mlflow.set_tracking_uri(None)
