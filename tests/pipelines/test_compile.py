"""The compiled pipeline: the same bytes each time, the same as the file that is kept, and what is in it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

from liverank.config import PipelineConfig
from pipelines.compile import COMPILED, COMPILED_TUNING, compile_training, compile_tuning


@pytest.fixture(scope="module")
def spec():
    return yaml.safe_load(COMPILED.read_text())


@pytest.mark.parametrize(("make", "kept"), [(compile_training, COMPILED), (compile_tuning, COMPILED_TUNING)])
def test_the_file_that_is_kept_is_what_the_code_compiles_to(tmp_path, make, kept):
    fresh = make(tmp_path / kept.name)
    assert fresh.read_text() == kept.read_text(), "run 'liverank compile' and commit the result"
    assert list(tmp_path.iterdir()) == [fresh]


def test_another_hash_seed_gives_the_same_bytes(tmp_path):
    command = (
        "import sys, pathlib; from pipelines.compile import *; folder = pathlib.Path(sys.argv[1]); "
        "compile_training(folder / 'training.yaml'); compile_tuning(folder / 'tuning.yaml')"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", command, str(tmp_path / seed)], env=environment, check=True)
    for kept in (COMPILED, COMPILED_TUNING):
        assert {(tmp_path / seed / kept.name).read_bytes() for seed in ("1", "2")} == {kept.read_bytes()}


def test_two_gates_and_every_step(spec):
    root = spec["root"]["dag"]["tasks"]
    assert set(root) == {"ingest", "validate", "condition-1", "condition-3"}
    assert set(spec["components"]["comp-condition-1"]["dag"]["tasks"]) == {
        "features", "train", "evaluate", "register", "condition-2",
    }  # fmt: skip
    assert set(spec["components"]["comp-condition-2"]["dag"]["tasks"]) == {"deploy"}
    assert set(spec["components"]["comp-condition-3"]["dag"]["tasks"]) == {"refuse"}


def test_the_tuning_pipeline_shares_its_first_steps_with_the_training_pipeline(spec):
    tuning = yaml.safe_load(COMPILED_TUNING.read_text())
    assert set(tuning["root"]["dag"]["tasks"]) == {"ingest", "validate", "condition-1", "condition-2"}
    assert set(tuning["components"]["comp-condition-1"]["dag"]["tasks"]) == {"features", "tune"}
    for step in ("ingest", "validate", "features"):
        assert tuning["components"][f"comp-{step}"] == spec["components"][f"comp-{step}"]
        assert (
            tuning["deploymentSpec"]["executors"][f"exec-{step}"] == spec["deploymentSpec"]["executors"][f"exec-{step}"]
        )


def test_what_acts_on_the_world_outside_is_never_taken_from_the_cache(spec):
    cached = {
        name: task["cachingOptions"].get("enableCache", False)
        for dag in (spec["root"], *spec["components"].values())
        for name, task in dag.get("dag", {}).get("tasks", {}).items()
        if not name.startswith("condition")
    }
    assert {name for name, on in cached.items() if not on} == {"register", "deploy", "refuse"}


def test_steps_install_nothing_ask_for_little_and_need_no_gpu(spec):
    for executor in spec["deploymentSpec"]["executors"].values():
        container = executor["container"]
        assert "pip install" not in str(container)
        assert container["resources"] == {
            "cpuRequest": 0.1, "memoryRequest": 0.268435456, "resourceCpuRequest": "100m",
            "resourceMemoryRequest": "256Mi",
        }  # fmt: skip


def test_a_version_for_schedules_reads_no_cache(tmp_path):
    file = compile_training(tmp_path / "fresh.yaml", PipelineConfig(), resume=False)
    assert "enableCache: true" not in file.read_text()
