"""The benchmark for lent machines runs in a small form, knows the settings, and needs few packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.gpu_interest import HEAD, Interest, Shape, Training, line, measured, synthetic
from liverank.config.training import InterestConfig, TrainingConfig
from tests.conftest import ROOT

TINY = Shape(users=30, items=40, events=12, width=6)


def test_its_settings_are_those_of_the_configuration():
    chosen = {"epochs", "checkpoint_steps", "patience"}
    for stand_in, real in ((Interest(), InterestConfig()), (Training(), TrainingConfig())):
        for name, value in vars(stand_in).items():
            if name not in {*chosen, "threads", "interest"}:
                assert getattr(real, name) == value, name
    unread = {"enabled", "word_columns", "distil"}
    assert set(InterestConfig.model_fields) - unread == set(vars(Interest()))


def test_a_small_form_runs_here():
    config = Training(device="cpu", threads=1, interest=Interest(dimension=8, layers=1, batch_steps=64, epochs=1))
    found = measured(TINY, config)
    row = line(config, found)
    assert row.count("|") == HEAD.count("|")
    assert found["events_per_second"] > 0


def test_events_are_sorted_and_cover_every_user():
    features, events = synthetic(TINY)
    assert features.shape == (40, 6)
    assert list(events.user) == sorted(events.user)
    assert set(events.user) == set(range(30))
    assert events.item.max() < 40


WITHOUT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pydantic", "pyarrow", "pandas", "yaml", "sklearn", "scipy", "mlflow", "typer"}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import benchmarks.gpu_interest
"""


@pytest.mark.timeout(200)
def test_it_imports_with_torch_and_numpy_alone():
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
