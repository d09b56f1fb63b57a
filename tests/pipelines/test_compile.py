"""The compiled pipeline: the same bytes each time, the same as the file that is kept, and what is in it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

from liverank.config import PipelineConfig
from pipelines.compile import COMPILED, compile_training


@pytest.fixture(scope="module")
def spec():
    return yaml.safe_load(COMPILED.read_text())


def test_the_file_that_is_kept_is_what_the_code_compiles_to(tmp_path):
    fresh = compile_training(tmp_path / "training.yaml")
    assert fresh.read_text() == COMPILED.read_text(), "run 'liverank compile' and commit the result"
    assert list(tmp_path.iterdir()) == [fresh]


def test_another_hash_seed_gives_the_same_bytes(tmp_path):
    command = "import sys, pathlib; from pipelines.compile import *; compile_training(pathlib.Path(sys.argv[1]))"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", command, str(tmp_path / seed)], env=environment, check=True)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes() == COMPILED.read_bytes()


def test_two_gates_and_every_step(spec):
    root = spec["root"]["dag"]["tasks"]
    assert set(root) == {"ingest", "validate", "condition-1", "condition-3"}
    assert set(spec["components"]["comp-condition-1"]["dag"]["tasks"]) == {
        "features", "train", "evaluate", "register", "condition-2",
    }  # fmt: skip
    assert set(spec["components"]["comp-condition-2"]["dag"]["tasks"]) == {"deploy"}
    assert set(spec["components"]["comp-condition-3"]["dag"]["tasks"]) == {"refuse"}


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
