"""The closed loop, every part real: drift is injected, the monitor fires once, retraining, the gate, quality recovers.

It is the demo itself, in a process of its own: kfp's local runner on the compiled pipeline, MLflow on SQLite, KServe's
server, Evidently, live traffic over HTTP.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from liverank.config import load_config
from liverank.registry import resolve
from monitoring.decision import list_decisions
from tests.conftest import ROOT

SECONDS = 900
SMALLER = ("training.interest.epochs=1", "training.interest.dimension=32", "features.max_train_requests=0")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    workspace = tmp_path_factory.mktemp("loop") / "demo"
    settings = [word for setting in SMALLER for word in ("--set", setting)]
    command = [sys.executable, "-m", "liverank.cli", "demo", "--workspace", str(workspace), *settings]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    return workspace, answer


pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 30)]


def test_every_stage_does_what_it_says(told):
    _, answer = told
    assert answer.returncode == 0, answer.stdout[-6000:] + answer.stderr[-2000:]
    assert "Every stage did what it says." in answer.stdout
    assert "✘" not in answer.stdout


def test_the_monitor_fires_exactly_once_and_quality_recovers(told):
    workspace, _ = told
    recovered, drifted, normal = list_decisions(workspace / "decisions", limit=10)
    assert [record.action for record in (normal, drifted, recovered)] == ["none", "retrain", "none"]
    assert drifted.rule == "quality-loss"
    assert drifted.quality.loss_low > 0.1
    # Some 900 judged lists a window: a standard error of about 0.01, so that this is no accident.
    assert recovered.window.mean > drifted.window.mean + 0.03


def test_the_gate_made_the_retrained_version_champion(told):
    workspace, _ = told
    config = load_config(workspace / "demo.yaml").registry
    assert resolve(config, "champion").version == "2"
    assert resolve(config, "previous").version == "1"


def test_nothing_is_left_running(told):
    workspace, _ = told
    assert not (workspace / "server.json").exists()
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(workspace) not in running


def test_the_summary_names_reports_that_exist(told):
    workspace, answer = told
    pages = sorted(workspace.glob("runs/*/*.html")) + sorted(workspace.glob("reports/*.html"))
    assert len(pages) == 2 * 2 + 3
    assert all(str(page) in answer.stdout.replace("\n", "") for page in pages)
    assert list((workspace / "evidently").rglob("*.json"))
