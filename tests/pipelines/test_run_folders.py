"""Old runs go, those that a kept run builds on stay."""

from __future__ import annotations

import json
import os

import pytest

from pipelines.run_folders import prune


@pytest.fixture
def runs(tmp_path):
    (tmp_path / ".cache").mkdir()
    (tmp_path / "notes").mkdir()
    for age, name in enumerate(["a", "b", "c", "d"]):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run.json").write_text("{}")
        os.utime(folder, (age, age))
    return tmp_path


def names(runs):
    return sorted(path.name for path in runs.iterdir())


def test_the_newest_stay_and_so_does_what_is_no_run(runs):
    assert [path.name for path in prune(runs, 2)] == ["a", "b"]
    assert names(runs) == [".cache", "c", "d", "notes"]


def test_what_a_kept_run_took_up_stays(runs):
    event = {"event": "step", "outputs": {"data": str(runs / "a" / "p" / "ingest" / "dataset"), "Output": True}}
    (runs / "d" / "progress.jsonl").write_text(json.dumps(event) + "\n" + json.dumps({"event": "note"}) + "\n")
    os.utime(runs / "d", (9, 9))
    assert [path.name for path in prune(runs, 1)] == ["b", "c"]
    assert names(runs) == [".cache", "a", "d", "notes"]
