"""The compiled tuning pipeline on this machine, every step real, with a study of three trials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from liverank.config import load_config
from pipelines.compile import COMPILED_TUNING
from pipelines.local import run_local
from tests.pipelines.small import configuration, write_data

TUNING = {
    "training.interest.enabled": False,
    "tuning.trials": 3,
    "tuning.folds": 1,
    "tuning.window_share": 0.15,
    "tuning.max_requests": 40,
    "tuning.space": {"count.window": {"low": 1, "high": 40}},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuning-pipeline")
    config = configuration(folder / "workspace", write_data(folder / "data"), **TUNING)
    return config, run_local(config, pipeline=COMPILED_TUNING)


def test_the_pipeline_ends_with_settings_a_report_and_metrics(made):
    _, run = made
    assert {step: event["state"] for step, event in run.steps.items()} == dict.fromkeys(
        ("ingest", "validate", "features", "tune"), "done"
    )
    best = load_config(run.output("tune", "best"))
    assert 1 <= best.training.count.window <= 40
    assert "<html" in (run.folder / "tuning.html").read_text()
    metrics = json.loads(Path(run.output("tune", "metrics")).read_text())
    assert metrics["trials"] == 3
    assert 0 < metrics["default/ndcg_at_10"] <= metrics["best/ndcg_at_10"] <= 1
    assert run.output("tune", "Output") in (True, False)


def test_the_study_is_in_the_registrys_mlflow(made):
    config, _ = made
    client = MlflowClient(tracking_uri=config.tracking_uri)
    experiment = client.get_experiment_by_name(config.registry.experiment).experiment_id
    assert len(client.search_runs([experiment])) == 4


def test_more_trials_take_up_what_is_finished(made):
    config, _ = made
    more = config.model_copy(update={"tuning": config.tuning.model_copy(update={"trials": 4})})
    run = run_local(more, pipeline=COMPILED_TUNING)
    assert [run.steps[step]["state"] for step in ("ingest", "validate", "features", "tune")] == [
        *["cached"] * 3,
        "done",
    ]
    assert json.loads(Path(run.output("tune", "metrics")).read_text())["trials"] == 4
