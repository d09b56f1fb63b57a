"""The entry module of training and torchrun around it: one error, one exit code, nobody left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from liverank.config import LaunchConfig, TrainingConfig, training_section
from liverank.errors import TrainingError
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.fit import FitSummary
from liverank.ranking.launch import main, read_answer, read_config, write_answer
from liverank.ranking.start_training import start_training
from liverank.ranking.torchrun import processes
from tests.conftest import ROOT
from tests.ranking.conftest import SMALL

SECONDS = 290
BOTH = LaunchConfig(mode="torchrun", processes=2)


def arguments(features: Path, folder: Path, config: str = "{}") -> list[str]:
    places = {"features": features, "out": folder / "bundle", "checkpoints": folder / "checkpoints"}
    return [f"--{name}={value}" for name, value in places.items()] + [f"--config={config}"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{interest: {layer: 1}}", "Unknown key 'training.interest.layer'; did you mean 'training.interest.layers'?"),
        ('{"interest": {"layers": 0}}', "'training.interest.layers'"),
        ("nowhere.yaml", "--config cannot be read"),
        ("{a: [", "--config cannot be read"),
        ('{"launch": {"mode": "trainjob"}}', "needs trainjob.image"),
        ('{"launch": {"processes": 4}}', "set mode to torchrun"),
        ('{"launch": {"mode": "torchrun", "nodes": 2}}', "set mode to trainjob"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2(config, said, tmp_path, capsys):
    assert main(arguments(tmp_path, tmp_path, config)) == 2
    told = capsys.readouterr().err
    assert told.startswith("Error: ")
    assert len(told.splitlines()) == 1
    assert said in told


def test_missing_features_are_said_and_left_for_whoever_started_it(tmp_path, capsys):
    answer = tmp_path / "answer.json"
    assert main([*arguments(tmp_path / "none", tmp_path), f"--answer={answer}"]) == 2
    assert "is no features folder" in capsys.readouterr().err
    with pytest.raises(TrainingError, match="is no features folder") as found:
        read_answer(answer, "ended")
    assert found.value.hint == "Run the features step first."


@pytest.mark.parametrize("name", ["training.json", "training.yaml"])
def test_the_section_may_be_a_file(tmp_path, name):
    text = SMALL.model_dump_json() if name.endswith("json") else "interest:\n  layers: 3\n"
    (tmp_path / name).write_text(text)
    expected = SMALL if name.endswith("json") else training_section({"interest": {"layers": 3}})
    assert read_config(str(tmp_path / name)) == expected


def test_the_first_word_counts(tmp_path):
    write_answer(tmp_path / "a.json", {"error": "first", "hint": "h"})
    write_answer(tmp_path / "a.json", {"error": "second"})
    with pytest.raises(TrainingError, match="first h"):
        read_answer(tmp_path / "a.json", "ended")
    with pytest.raises(TrainingError, match="The training ended with a bang"):
        read_answer(tmp_path / "b.json", "ended with a bang")


def test_a_machine_without_gpus_gets_one_process_unless_told():
    assert processes(TrainingConfig(device="cpu")) == 1
    assert processes(TrainingConfig(launch=BOTH)) == 2


def test_inline_it_is_fit(features, tmp_path):
    config = SMALL.model_copy(update={"interest": SMALL.interest.model_copy(update={"enabled": False})})
    summary = start_training(features, tmp_path / "bundle", config, tmp_path / "checkpoints")
    assert isinstance(summary, FitSummary)
    assert summary.bundle_hash == load_bundle(tmp_path / "bundle").hash


START = """
import sys
from pathlib import Path
from liverank.config import training_section
from liverank.ranking.start_training import start_training
import json
features, out, checkpoints, config = sys.argv[1:]
start_training(Path(features), Path(out), training_section(json.loads(config)), Path(checkpoints))
"""


def started(features: Path, folder: Path) -> subprocess.Popen[str]:
    config = SMALL.model_copy(update={"launch": BOTH}).model_dump_json()
    places = [str(features), str(folder / "bundle"), str(folder / "checkpoints"), config]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", START, *places], env=environment, stderr=subprocess.PIPE, text=True)


def workers(folder: Path) -> list[int]:
    """Processes of the entry module that write below the folder; torch's launcher is not among them."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        ours = "liverank.ranking.launch" in command and "torch.distributed.run" not in command
        if ours and any(str(folder) in part for part in command):
            found.append(int(entry.name))
    return sorted(found)


def wait_for(what, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS - 20
    while not what():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(folder: Path) -> bool:
    deadline = time.monotonic() + 40
    while workers(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not workers(folder)


@pytest.mark.slow
@pytest.mark.timeout(3 * SECONDS)
def test_two_processes_survive_a_kill_and_a_termination_and_end_with_a_bundle(features, tmp_path):
    trained = lambda: list((tmp_path / "checkpoints").glob("interest-*.safetensors"))  # noqa: E731
    killed = started(features, tmp_path)
    wait_for(trained, killed)
    os.kill(workers(tmp_path)[-1], signal.SIGKILL)
    said = killed.communicate(timeout=SECONDS)[1]
    assert killed.returncode != 0
    assert "TrainingError: The training on 2 processes ended with exit code 1" in said
    assert gone(tmp_path)

    stopped = started(features, tmp_path)
    wait_for(lambda: len(workers(tmp_path)) == 2, stopped)
    stopped.send_signal(signal.SIGTERM)
    stopped.communicate(timeout=60)
    assert stopped.returncode == 143
    assert gone(tmp_path)

    abandoned = started(features, tmp_path)
    wait_for(lambda: len(workers(tmp_path)) == 2, abandoned)
    abandoned.kill()
    abandoned.communicate()
    assert gone(tmp_path)
    assert not (tmp_path / "bundle").exists()

    config = SMALL.model_copy(update={"launch": BOTH})
    summary = start_training(features, tmp_path / "bundle", config, tmp_path / "checkpoints")
    assert summary.interest["processes"] == 2
    assert summary.interest["epochs"] == SMALL.interest.epochs
    assert summary.bundle_hash == load_bundle(tmp_path / "bundle").hash
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["training"]["interest"]["events_per_second"] > 0


@pytest.mark.timeout(SECONDS)
def test_an_error_of_the_processes_is_raised_as_one(tmp_path):
    config = TrainingConfig(launch=BOTH)
    with pytest.raises(TrainingError, match="is no features folder"):
        start_training(tmp_path / "none", tmp_path / "bundle", config, tmp_path / "checkpoints")
