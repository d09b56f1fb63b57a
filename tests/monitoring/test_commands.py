"""`liverank monitor`, `liverank decisions`, `python -m monitoring`: what they print and how they stop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from liverank.cli.main import app, register_commands
from liverank.errors import RegistryError
from liverank.store import open_store
from monitoring.decision import DecisionRecord
from monitoring.loop import watch
from monitoring.models import read_table
from tests.conftest import ROOT
from tests.monitoring.traffic import PAST, START, Clock, CountingTrigger, FixedModels, Traffic, config, past

RUNNER = CliRunner()
register_commands()


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A workspace whose model suffers, looked at by the command line; its output and the runs it asked for."""
    workspace = tmp_path_factory.mktemp("lived")
    store = open_store(workspace / "live.db")
    store.append([*past(), *Traffic(1).records(100)])
    store.append(Traffic(2, good=0.05).records(130, at=START.replace(hour=15)))
    store.close()
    trigger = CountingTrigger()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitoring.models.RegistryModels", lambda _: FixedModels({"1": Traffic(90).table(600)}))
        patch.setattr("pipelines.triggers.trigger_for", lambda config, on_progress: trigger)
        printed = run(workspace, "monitor", "-s", "monitoring.window_impressions=100")
        again = run(workspace, "monitor", "-s", "monitoring.window_impressions=100")
    return workspace, trigger, printed, again


def run(workspace: Path, command: str, *arguments: str) -> str:
    settings = ["-s", f"workspace={workspace}", "-s", f"serving.history_length={PAST}"]
    result = RUNNER.invoke(app, [command, *arguments, *settings], env={"COLUMNS": "200"})
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_monitor_judges_what_has_gathered_and_says_why(lived):
    _, trigger, printed, again = lived
    assert [facts.rule for facts in trigger.asked] == ["quality-loss"]
    assert "by rule healthy" in printed
    assert "by rule quality-loss" in printed
    assert "Quality: ndcg_at_10" in printed
    assert "Report (html): reports/" in printed
    assert f"Run {trigger.asked[0].run_name}: started" in printed
    assert "Nothing to judge: 30 of 100 impressions" in again


def test_decisions_lists_and_details(lived):
    workspace, *_ = lived
    listed = json.loads(run(workspace, "decisions", "--json"))
    assert [(one["action"], one["rule"]) for one in listed] == [("retrain", "quality-loss"), ("none", "healthy")]
    assert len(json.loads(run(workspace, "decisions", "--json", "--limit", "1"))) == 1
    table = run(workspace, "decisions")
    assert all(one["id"] in table for one in listed)
    detail = run(workspace, "decisions", listed[0]["id"])
    assert "top_text" in detail
    assert "interval is clear" in detail
    assert json.loads(run(workspace, "decisions", listed[0]["id"], "--json")) == listed[0]
    missing = RUNNER.invoke(app, ["decisions", "1999", "-s", f"workspace={workspace}"])
    assert "no decision '1999'" in str(missing.exception)


def test_no_decisions_yet(tmp_path):
    assert "No decisions yet" in run(tmp_path, "decisions")
    assert run(tmp_path, "decisions", "--json").strip() == "[]"


def test_monitor_of_an_empty_store_needs_no_registry(tmp_path):
    assert "no impressions" in run(tmp_path, "monitor", "--no-trigger")


def test_watch_goes_on_after_a_problem_that_passes(tmp_path):
    store = open_store(tmp_path / "live.db")
    store.append(Traffic(1).records(100))
    models = FixedModels({"1": Traffic(90).table(300)})
    healthy, told = models.served, []

    def first_down(version: str) -> object:
        if not told:
            raise RegistryError("The registry does not answer.")
        return healthy(version)

    models.served = first_down  # type: ignore[method-assign]
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) < 3

    watch(
        config(tmp_path, window_impressions=100, poll_seconds=7),
        store,
        models,
        Clock(),
        CountingTrigger(),
        on_decision=told.append,
        on_problem=told.append,
        pause=pause,
    )
    assert [type(one) for one in told] == [RegistryError, DecisionRecord]
    assert pauses == [7, 7, 7]
    store.close()


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        (["-m", "liverank.cli", "monitor", "--watch"], signal.SIGTERM, 143),
        (["-m", "liverank.cli", "monitor", "--watch"], signal.SIGINT, 130),
        (["-m", "monitoring", "--watch"], signal.SIGTERM, 143),
        (["-m", "monitoring", "--watch"], signal.SIGINT, 130),
    ],
)
def test_a_watch_stops_at_once_and_leaves_its_state(tmp_path, command, number, code):
    (tmp_path / "liverank.yaml").write_text("workspace: here\n", encoding="utf-8")
    process = subprocess.Popen([sys.executable, *command], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE)
    state = tmp_path / "here" / "monitoring" / "state.json"
    try:
        wait_for(state, process)
        # The first look may still hold the interpreter in an import; the signal must end the pause after it.
        time.sleep(0.2)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, said.decode()
    assert b"Traceback" not in said
    assert json.loads(state.read_text())["cursor"] == 0


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


def test_a_registered_version_is_found_with_its_reference(tmp_path):
    """The real registry: the version's bundle, catalogue, reference table and age."""
    from liverank.config import EvaluationConfig
    from liverank.evaluation.run import evaluate
    from liverank.registry import Lineage, register
    from monitoring.models import RegistryModels
    from tests.evaluation.world import write_bundle, write_features

    features = write_features(tmp_path / "features")
    bundle = write_bundle(features, tmp_path / "bundle")
    evaluate(features, bundle, tmp_path / "evaluation", EvaluationConfig(bootstrap_samples=100))
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"ok": True, "rows": {}, "set_aside": 0}), encoding="utf-8")
    settings = config(tmp_path / "workspace").resolved().registry
    made = register(bundle, tmp_path / "evaluation", result, settings, Lineage(data_hash="d" * 64, code_version="1"))
    found = RegistryModels(settings).served(made.version)
    reference = read_table(tmp_path / "evaluation" / "reference.parquet")
    assert found.reference is not None
    assert found.reference.equals(reference)
    assert len(found.catalogue.item_ids) == len(found.catalogue.categories) == 60
    assert found.catalogue.embeddings is not None
    assert found.created_at is not None
    with pytest.raises(RegistryError):
        RegistryModels(settings).served("99")
