"""compile, submit and schedule as a user types them."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from rich.console import Console

from liverank.cli.run_command import _tell_results
from liverank.config import Config
from pipelines.compile import COMPILED, COMPILED_TUNING
from pipelines.local import LocalRun
from tests.pipelines.fake_kubeflow import FakeKubeflow, serve


def liverank(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "liverank.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def fake():
    return FakeKubeflow()


@pytest.fixture(scope="module")
def options(fake):
    server = serve(fake)
    settings = {
        "pipeline.host": f"http://127.0.0.1:{server.server_port}",
        "registry.tracking_uri": "http://mlflow:5000",
        "deployment.target": "none",
        "data.source": "s3://bucket/clicks.parquet",
    }
    yield [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    server.shutdown()
    server.server_close()


def test_compile_writes_the_pipeline_that_is_kept(tmp_path):
    answer = liverank("compile", "--output", str(tmp_path / "training.yaml"))
    assert answer.returncode == 0
    assert (tmp_path / "training.yaml").read_text() == COMPILED.read_text()


def test_compile_puts_the_configured_pods_into_a_file_of_its_own(tmp_path):
    answer = liverank("compile", "--output", str(tmp_path / "gpu.yaml"), "--set", "pipeline.train.gpus=1")
    assert answer.returncode == 0
    spec = yaml.safe_load((tmp_path / "gpu.yaml").read_text())
    executors = spec["deploymentSpec"]["executors"]
    assert [name for name, one in executors.items() if "accelerator" in one["container"]["resources"]] == ["exec-train"]


def test_settings_do_not_change_the_pipeline_that_is_kept():
    answer = liverank("compile", "--set", "pipeline.train.gpus=1")
    assert answer.returncode == 2
    assert "--output" in answer.stderr


def test_compile_writes_the_tuning_pipeline_too(tmp_path):
    answer = liverank("compile", "--pipeline", "tuning", "--output", str(tmp_path / "tuning.yaml"))
    assert answer.returncode == 0
    assert (tmp_path / "tuning.yaml").read_text() == COMPILED_TUNING.read_text()


def test_submit_says_where_the_run_is(fake, options):
    answer = liverank("submit", "--name", "today", *options)
    assert answer.returncode == 0, answer.stderr
    assert fake.kept["runs"][0]["display_name"] == "today"
    assert f"/#/runs/details/{fake.kept['runs'][0]['run_id']}" in answer.stdout
    assert len(answer.stdout.splitlines()) == 1


def test_schedule_says_where_it_is(fake, options):
    answer = liverank("schedule", "--cron", "0 0 3 * * *", *options)
    assert answer.returncode == 0, answer.stderr
    (kept,) = fake.kept["recurringruns"]
    assert kept["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert kept["recurring_run_id"] in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["submit"], "pipeline.host is not set"),
        (["submit", "--set", "pipeline.host=http://127.0.0.1:9"], "does not answer"),
        (["submit", "--set", "pipelin.host=x"], "did you mean 'pipeline'"),
        (["schedule", "--cron", "0 3 * * *"], "has 5 fields"),
        (["run"], "There is no data to train on"),
    ],
)
def test_what_the_user_can_mend_is_one_line(arguments, said):
    answer = liverank(*arguments)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


REFUSED = {
    "validation": {"checks": []},
    "evaluation": {"findings": {}, "reasons": ["Only 9 test requests could be judged.", "Much else."]},
    "register": {"version": "3", "model_name": "liverank", "aliases": ["challenger"]},
    "reports": {},
}


@pytest.mark.parametrize(
    ("reigning", "said"),
    [
        (
            None,
            "no champion yet: version 3 was refused because: Only 9 test requests could be judged. Give it more data, "
            "or promote it yourself: liverank promote 3 --reason ...",
        ),
        (SimpleNamespace(version="2"), "deployed: no, champion version 2 serves on"),
    ],
)
def test_a_refused_version_is_told_with_what_serves_instead(tmp_path, monkeypatch, reigning, said):
    monkeypatch.setattr("liverank.registry.champion", lambda config: reigning)
    monkeypatch.setattr("liverank.cli.demo.tables.metrics_table", lambda findings: "")
    monkeypatch.setattr(LocalRun, "outputs", REFUSED)
    console = Console(width=200)
    with console.capture() as shown:
        _tell_results(console, LocalRun("r", tmp_path), Config(workspace=str(tmp_path)))
    lines = shown.get().splitlines()
    assert said in lines
    assert ("no champion yet" in shown.get()) == (reigning is None)
