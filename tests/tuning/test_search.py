"""Whole studies on a small shop: results, determinism, resuming after kill -9, workers, files and MLflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pyarrow.parquet as pq
import pytest
import yaml
from optuna.trial import TrialState

from liverank.config import Config, load_config
from liverank.errors import DataError
from liverank.tuning.search import fingerprint, tune
from liverank.tuning.study import ERROR, Place, TuningError
from liverank.tuning.trial import FOLDS, KEY, PROCESS
from liverank.tuning.write_config import write_settings
from tests.tuning.conftest import SETTINGS


def trials_of(workspace: Path) -> list[optuna.trial.FrozenTrial]:
    place = Place("shop", str(workspace / "tuning" / "shop" / "study.journal"))
    return optuna.load_study(study_name="shop", storage=place.open()).get_trials()


def outcome(workspace: Path) -> list[tuple]:
    """Settings and outcome of each trial that ended, in the order in which the trials came to be."""
    ended = [trial for trial in trials_of(workspace) if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    return [(trial.state, trial.value, trial.params, trial.user_attrs[FOLDS]) for trial in ended]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, features, embeddings):
    """A study that was never cut off: workspace and result."""
    import shutil

    workspace = tmp_path_factory.mktemp("whole")
    shutil.copytree(embeddings, workspace / "tuning" / "shop" / "checkpoints" / "0")
    config = load_config(overrides={**SETTINGS, "workspace": str(workspace)})
    result, _ = tune(features, config)
    return workspace, result


def test_the_present_settings_are_the_first_trial_and_the_best_is_not_worse(whole):
    _, result = whole
    assert [trial.number for trial in result.trials] == [0, 1, 2, 3, 4]
    assert result.default == result.trials[0]
    assert result.default.settings == {"count.window": 5, "count.query_decay": 0.7, "count.learn_weights": True}
    assert result.best.value == max(trial.value for trial in result.trials if trial.value is not None)
    assert result.best.value >= result.default.value
    assert set(result.default.folds[0]) == {"blend", "count", "popularity", "zero-shot", "linear"}
    assert result.default.value == pytest.approx(sum(fold["blend"] for fold in result.default.folds) / 2, abs=1e-8)
    assert 0 < result.default.value < 1
    assert result.search_gain.low <= result.search_gain.mean <= result.search_gain.high
    means = result.honest_means
    assert result.honest_gain.mean == pytest.approx(means["best"] - means["default"])


def test_the_best_settings_load_as_a_configuration(whole, tmp_path):
    workspace, result = whole
    config = load_config(workspace / "tuning" / "shop" / "best.yaml")
    assert config.training.count.window == result.best.settings["count.window"]
    assert config.training.count.query_decay == result.best.settings["count.query_decay"]
    assert config.training.count.learn_weights == result.best.settings["count.learn_weights"]


def test_every_trial_is_in_the_tables(whole):
    workspace, result = whole
    table = pq.read_table(workspace / "tuning" / "shop" / "trials.parquet")
    assert table["trial"].to_pylist() == [trial.number for trial in result.trials]
    assert table["value"].to_pylist() == [trial.value for trial in result.trials]
    assert table["training.count.window"].to_pylist() == [trial.settings["count.window"] for trial in result.trials]
    assert table["fold_1"].to_pylist() == [trial.folds[0]["blend"] for trial in result.trials]
    lines = (workspace / "tuning" / "shop" / "trials.csv").read_text().splitlines()
    assert len(lines) == 6
    told = json.loads((workspace / "tuning" / "shop" / "result.json").read_text())
    assert told["metrics"]["best/ndcg_at_10"] == result.best.value


def test_the_report_says_gain_warning_and_every_setting_and_needs_nothing_else(whole):
    workspace, result = whole
    page = (workspace / "tuning" / "shop" / "report.html").read_text()
    for said in ("best of 5 trials", "optimistic", "latest window", "present", "count.window", "Folds", "zero-shot"):
        assert said in page
    assert f"{result.honest_gain.mean:+.4f}" in page
    assert f"{result.search_gain.mean:+.4f}" in page
    assert page.count("data:image/svg+xml;base64,") == len(list((workspace / "tuning" / "shop" / "plots").iterdir()))
    outside = page.replace('src="data:', "")
    assert "src=" not in outside
    assert "http" not in outside


def test_one_worker_and_a_seed_decide_the_study(whole, features, configured, tmp_path):
    tune(features, configured(tmp_path))
    assert outcome(tmp_path) == outcome(whole[0])


def test_more_trials_go_on_with_the_study_and_repeat_none(whole, features, configured, tmp_path):
    tune(features, configured(tmp_path, **{"tuning.trials": 2}))
    before = [trial.datetime_complete for trial in trials_of(tmp_path)]
    assert len(before) == 2
    tune(features, configured(tmp_path))
    assert [trial.datetime_complete for trial in trials_of(tmp_path)[:2]] == before
    assert outcome(tmp_path) == outcome(whole[0])


CHILD = """
# Trials that last, so that there is a moment to be killed in.
import json, sys, time
from pathlib import Path
from liverank.config import Config, load_config
from liverank.tuning import judge, search
kept = judge.Judge.score
def slow(self, fold, config):
    time.sleep(0.3)
    return kept(self, fold, config)
judge.Judge.score = slow
search.tune(Path(sys.argv[1]), load_config(overrides=json.loads(sys.argv[2])))
"""


def start(features: Path, workspace: Path, **more) -> subprocess.Popen[bytes]:
    settings = {**SETTINGS, "workspace": str(workspace), **more}
    return subprocess.Popen([sys.executable, "-c", CHILD, str(features), json.dumps(settings)], stderr=subprocess.PIPE)


def kill_at_work(child: subprocess.Popen[bytes], workspace: Path, finished: int) -> None:
    """Kills the process while a trial is under way and at least so many are done; it is stopped to look at that."""
    for _ in range(6000):
        assert child.poll() is None, child.communicate()[1].decode()
        if _whole(workspace):
            os.kill(child.pid, signal.SIGSTOP)
            states = [trial.state for trial in trials_of(workspace)] if _whole(workspace) else []
            if states.count(TrialState.COMPLETE) >= finished and TrialState.RUNNING in states:
                os.kill(child.pid, signal.SIGKILL)
                child.communicate()
                return
            os.kill(child.pid, signal.SIGCONT)
        time.sleep(0.04)
    raise AssertionError("the study did not get so far")


def _whole(workspace: Path) -> bool:
    journal = workspace / "tuning" / "shop" / "study.journal"
    text = journal.read_bytes() if journal.exists() else b""
    return text.count(b"\n") > 2 and text.endswith(b"\n")


def test_a_killed_run_goes_on_with_the_same_study(whole, features, configured, tmp_path):
    configured(tmp_path)
    child = start(features, tmp_path)
    kill_at_work(child, tmp_path, finished=2)
    assert child.returncode == -signal.SIGKILL
    cut_off = trials_of(tmp_path)
    ended = {trial.number: trial.datetime_complete for trial in cut_off if trial.state == TrialState.COMPLETE}
    result, _ = tune(features, configured(tmp_path))
    after = trials_of(tmp_path)
    assert {trial.number: trial.datetime_complete for trial in after if trial.number in ended} == ended
    assert TrialState.RUNNING not in [trial.state for trial in after]
    assert [trial.state for trial in after].count(TrialState.FAIL) == 1
    assert len(result.trials) == 5
    # Order by settings: the trial that was cut off has a later number now.
    assert sorted(outcome(tmp_path), key=repr) == sorted(outcome(whole[0]), key=repr)


def test_workers_share_the_trials_and_repeat_none(features, configured, tmp_path):
    space = {"count.window": {"choices": [2, 3, 6, 9]}, "count.learn_weights": {"choices": [False]}}
    more = {"tuning.space": space, "tuning.sampler": "grid", "tuning.trials": 20, "tuning.workers": 2}
    result, _ = tune(features, configured(tmp_path, **{**more, "tuning.pruner": "none"}))
    trials = trials_of(tmp_path)
    assert len(trials) == len(result.trials) == 5
    assert len({trial.user_attrs[KEY] for trial in trials}) == 5
    assert {trial.settings["count.window"] for trial in result.trials[1:]} == {2, 3, 6, 9}
    assert len({trial.user_attrs[PROCESS] for trial in trials[1:]}) == 2


def test_workers_end_with_their_parent_and_what_they_did_is_kept(features, configured, tmp_path):
    configured(tmp_path)
    more = {"tuning.workers": 2, "tuning.trials": 40}
    child = start(features, tmp_path, **more)
    kill_at_work(child, tmp_path, finished=2)
    done = sum(trial.state == TrialState.COMPLETE for trial in trials_of(tmp_path))
    result, _ = tune(features, configured(tmp_path, **{**more, "tuning.trials": done + 1}))
    assert len(result.trials) >= done + 1
    assert TrialState.RUNNING not in [trial.state for trial in trials_of(tmp_path)]


def test_what_a_worker_meets_reaches_the_caller(features, configured, tmp_path, monkeypatch):
    from liverank.tuning import search

    kept = search.Order

    def other_features(given, *rest):
        # The first process finds its features, the workers do not.
        return kept(given, *rest)

    config = configured(tmp_path, **{"tuning.workers": 2, "tuning.trials": 3})
    run = search.run_apart

    def elsewhere(order, *rest):
        run(other_features(tmp_path / "nothing", order.config, order.place, order.folder), *rest)

    monkeypatch.setattr(search, "run_apart", elsewhere)
    with pytest.raises(DataError, match="no features folder"):
        tune(features, config)


def test_the_same_settings_are_not_judged_twice(features, configured, tmp_path):
    space = {"count.learn_weights": {"choices": [True, False]}}
    result, _ = tune(features, configured(tmp_path, **{"tuning.space": space, "tuning.trials": 6}))
    repeated = [trial for trial in result.trials if trial.same_as is not None]
    assert len(repeated) == 4
    for trial in repeated:
        twin = result.trials[trial.same_as]
        assert trial.settings == twin.settings
        assert trial.value == twin.value
        assert trial.seconds == 0


def test_a_trial_that_fails_ends_the_run_and_says_why(features, configured, tmp_path, monkeypatch):
    from liverank.tuning.judge import Judge

    def broken(self, fold, config):
        raise DataError("The disk is full.")

    monkeypatch.setattr(Judge, "score", broken)
    with pytest.raises(DataError, match="disk is full"):
        tune(features, configured(tmp_path))
    (trial,) = trials_of(tmp_path)
    assert trial.user_attrs[ERROR] == "DataError: The disk is full."
    monkeypatch.undo()
    result, _ = tune(features, configured(tmp_path))
    assert (result.default.number, len(result.trials)) == (1, 5)


@pytest.mark.parametrize("where", ["score", "tell"])
def test_an_interruption_stays_one_and_its_trial_is_tried_again(features, configured, tmp_path, monkeypatch, where):
    from liverank.tuning.judge import Judge

    class Interrupted(BaseException):
        pass

    def interrupted(*_, **__):
        try:
            raise Interrupted
        finally:
            # As a lock does that is given back while it was not had.
            raise RuntimeError("did not possess lock")

    if where == "score":
        monkeypatch.setattr(Judge, "score", interrupted)
    else:
        monkeypatch.setattr("optuna.study._optimize._tell_with_warning", interrupted)
    with pytest.raises(Interrupted):
        tune(features, configured(tmp_path))
    monkeypatch.undo()
    result, _ = tune(features, configured(tmp_path, **{"tuning.trials": 2}))
    assert [trial.state for trial in trials_of(tmp_path)][:1] == [TrialState.FAIL]
    assert (result.default.number, len(result.trials)) == (1, 2)


def test_a_configuration_that_travelled_as_floats_makes_the_same_study(features, configured, tmp_path):
    space = {"count.window": {"choices": [2, 3]}, "count.learn_weights": {"choices": [True, False]}}
    config = configured(tmp_path, **{"tuning.space": space})
    sections = _floats({name: getattr(config, name).model_dump(mode="json") for name in ("training", "tuning")})
    assert sections["tuning"]["space"]["count.window"]["choices"] == [2.0, 3.0]
    travelled = Config.model_validate({**config.model_dump(), **sections})
    assert fingerprint(features, travelled) == fingerprint(features, config)


def _floats(value):
    if isinstance(value, dict):
        return {name: _floats(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_floats(inner) for inner in value]
    return float(value) if type(value) is int else value


def test_another_seed_is_another_study(whole, features, configured, tmp_path):
    config = configured(whole[0], **{"tuning.seed": 8})
    with pytest.raises(TuningError, match="made with other tuning"):
        tune(features, config)


def test_the_interest_model_is_searched_too(features, configured, tmp_path):
    more = {
        "training.interest": {"dimension": 16, "heads": 2, "layers": 1, "epochs": 1, "history_length": 8},
        "tuning.space": {"interest.dimension": {"choices": [8, 16]}, "interest.heads": {"choices": [2, 8]}},
        "tuning.folds": 1,
        "tuning.trials": 6,
        "tuning.sampler": "grid",
        "tuning.pruner": "none",
    }
    result, _ = tune(features, configured(tmp_path, **more))
    assert "interest" in result.default.folds[0]
    excluded = [trial for trial in result.trials if trial.value is None]
    assert [trial.settings for trial in excluded] == [{"interest.dimension": 8, "interest.heads": 8}]
    assert len(result.trials) == 4


def test_the_best_settings_go_into_a_file_whose_comments_stay(tmp_path):
    file = tmp_path / "liverank.yaml"
    file.write_text("# mine\ntraining:\n  seed: 3  # kept\n  count:\n    window: 4\n")
    write_settings(file, {"count.window": 9, "interest.dropout": 0.25})
    assert file.read_text().startswith("# mine\n")
    assert "# kept" in file.read_text()
    assert yaml.safe_load(file.read_text())["training"] == {
        "seed": 3, "count": {"window": 9}, "interest": {"dropout": 0.25},
    }  # fmt: skip
    write_settings(tmp_path / "new.yaml", {"count.window": 2})
    assert load_config(tmp_path / "new.yaml").training.count.window == 2


def test_mlflow_has_a_run_for_the_study_and_one_for_each_trial_once(whole, tmp_path):
    from mlflow import MlflowClient

    from liverank.registry.studies import PARENT, log_study

    workspace, result = whole
    config = load_config(overrides={"workspace": str(tmp_path)}).resolved().registry
    parent = log_study(config, result, workspace / "tuning" / "shop")
    assert log_study(config, result, workspace / "tuning" / "shop") == parent
    client = MlflowClient(tracking_uri=config.tracking_uri)
    experiment = client.get_experiment_by_name(config.experiment).experiment_id
    children = client.search_runs([experiment], f"tags.`{PARENT}` = '{parent}'")
    assert len(children) == len(result.trials)
    assert len(client.search_runs([experiment])) == len(result.trials) + 1
    child = next(run for run in children if run.data.tags["liverank.trial"] == "0")
    assert child.data.params["count.window"] == "5"
    assert child.data.metrics["ndcg_at_10"] == result.default.value
    by_fold = client.get_metric_history(child.info.run_id, "fold/blend/ndcg_at_10")
    assert [(at.step, at.value) for at in by_fold] == [
        (0, result.default.folds[0]["blend"]),
        (1, result.default.folds[1]["blend"]),
    ]
    assert client.get_run(parent).data.metrics["final/gain/ndcg_at_10"] == result.honest_gain.mean
    names = {file.path for file in client.list_artifacts(parent)}
    assert {"best.yaml", "report.html", "plots"} <= names
