"""Several processes make the steps of one, and are killed, resumed and ended together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from liverank.errors import ConfigError
from liverank.ranking.interest_data import Sequences
from liverank.ranking.ranks import Ranks
from tests.conftest import ROOT
from tests.ranking.ranks_world import OPTIONS, config_of, fitted, world

SECONDS = 280
"""A machine that does other things besides takes long to load torch three times."""


def two(folder: Path, dies_after: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    program = ["-m", "tests.ranking.ranks_world", str(folder), str(dies_after), json.dumps(options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *launcher, *program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)


def assert_same(mine: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float) -> None:
    assert mine.keys() == other.keys()
    for name, tensor in mine.items():
        if name.endswith("qkv.bias"):
            # A softmax does not see a key's bias: its gradient is rounding alone, which AdamW makes into steps.
            width = len(tensor) // 3
            tensor, other[name] = (torch.cat([one[:width], one[2 * width :]]) for one in (tensor, other[name]))
        torch.testing.assert_close(
            tensor, other[name], rtol=0, atol=tolerance, msg=lambda said, at=name: f"{at}: {said}"
        )


def test_some_batches_are_too_small_for_two():
    """Otherwise the test below would not show what it promises."""
    import numpy as np

    sequences = Sequences(world()[1], OPTIONS["history_length"])
    counts = [len(batch) for batch in sequences.batches(OPTIONS["batch_steps"], np.random.default_rng([7, 0]))]
    assert 1 in counts
    assert any(count > 1 and count % 2 for count in counts)


@pytest.mark.timeout(SECONDS)
def test_two_processes_make_the_steps_of_one_and_a_killed_pair_goes_on(tmp_path):
    alone = fitted(tmp_path, config_of(), Ranks())
    done = two(tmp_path / "both")
    assert done.returncode == 0, done.stderr
    together = load_file(tmp_path / "both" / "result.safetensors")
    assert_same(together, dict(alone), 2e-5)
    assert len(alone["ndcgs"]) == OPTIONS["epochs"]

    killed = two(tmp_path / "killed", dies_after=3)
    assert killed.returncode == 1, killed.stderr
    assert not (tmp_path / "killed" / "result.safetensors").exists()
    again = two(tmp_path / "killed")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("training goes on from epoch") == 2
    resumed = load_file(tmp_path / "killed" / "result.safetensors")
    # The epoch's mean loss covers what came after the kill.
    assert_same({**resumed, "losses": together["losses"]}, dict(together), 0.0)


@pytest.mark.timeout(SECONDS)
def test_processes_with_different_settings_end_with_one_sentence(tmp_path):
    done = two(tmp_path / "odd", odd=True)
    assert done.returncode == 1
    assert "Process 1 has another training state than process 0" in done.stderr
    assert "All processes must see the same features" in done.stderr


def test_a_rank_that_is_no_number_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigError, match="WORLD_SIZE"):
        Ranks.from_environment()


def test_shares_cover_everything_once():
    parts = [at for rank in range(3) for at in range(7)[Ranks(rank, 3).share(7)]]
    assert sorted(parts) == list(range(7))
