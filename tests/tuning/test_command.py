"""`liverank tune` as a user types it: results on the console, one line for what can be mended, Ctrl-C and on again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.tuning.conftest import SETTINGS


def command(features: Path, *more: str, **settings) -> list[str]:
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    return [sys.executable, "-m", "liverank.cli", "tune", "--features", str(features), *given, *more]


def answer(*arguments, **settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments, **settings), capture_output=True, text=True, check=False)


def test_the_command_tells_progress_result_and_where_it_lies(features, configured, tmp_path):
    configured(tmp_path)
    file = tmp_path / "liverank.yaml"
    file.write_text(yaml.safe_dump({"workspace": str(tmp_path)}))
    settings = {**SETTINGS, "tuning.workers": 2}
    more = ("--trials", "3", "--out", str(tmp_path / "out"), "--write", str(file), "--config", str(file))
    told = answer(features, *more, **settings)
    assert told.returncode == 0, told.stderr
    holds = json.loads((tmp_path / "out" / "result.json").read_text())["honest_gain"]["low"] > 0
    assert ("stays as it is" in told.stdout) is not holds
    assert (yaml.safe_load(file.read_text()) == {"workspace": str(tmp_path)}) is not holds
    forced = answer(features, *more, "--force", **settings)
    assert forced.returncode == 0, forced.stderr
    assert "trial 1 of 3: ndcg@10 0." in told.stderr
    assert "(present settings); best 0." in told.stderr
    assert "trial 3 of 3: " in told.stderr
    for said in (
        "is the best of 3",
        "count.window",
        "optimistic",
        "latest window",
        f"{tmp_path / 'out' / 'report.html'}",
    ):
        assert said in told.stdout
    best = yaml.safe_load((tmp_path / "out" / "best.yaml").read_text())
    assert yaml.safe_load(file.read_text()) == {"workspace": str(tmp_path), **best}


def test_a_file_that_cannot_be_written_is_said_before_the_search(features, configured, tmp_path):
    configured(tmp_path)
    told = answer(features, "--write", str(tmp_path / "no" / "liverank.yaml"), **SETTINGS, workspace=str(tmp_path))
    assert told.returncode == 2
    assert "cannot be written" in told.stderr
    assert not list(tmp_path.rglob("result.json"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "is no features folder"),
        ({"tuning.space": {"count.windw": {"low": 1, "high": 2}}}, "did you mean 'count.window'"),
        ({"tuning.sampler": "best"}, "'tuning.sampler'"),
    ],
)
def test_what_the_user_can_mend_is_one_line(tmp_path, settings, said):
    told = answer(tmp_path / "nothing", **{**settings, "workspace": str(tmp_path)})
    assert told.returncode == 2
    assert said in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1


def test_ctrl_c_leaves_a_study_to_go_on_with_and_says_how(features, configured, tmp_path):
    configured(tmp_path)
    settings = {**SETTINGS, "workspace": str(tmp_path), "tuning.trials": 500}
    running = subprocess.Popen(
        command(features, **settings), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    journal = tmp_path / "tuning" / "shop" / "study.journal"
    for _ in range(3000):
        # Operation 6 sets a state: the first trial is done by the second one of them.
        if journal.exists() and journal.read_text().count('"op_code":6') > 3:
            break
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "run the same command again to go on" in said
    again = answer(features, "--trials", "2", **{**settings, "tuning.trials": 2})
    assert again.returncode == 0, again.stderr
    assert "study shop: 2 of 2 trials are done" in again.stderr
