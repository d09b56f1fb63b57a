"""Two processes fine-tune as one does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from liverank.ranking.ranks import Ranks
from tests.conftest import ROOT
from tests.ranking.hidden_pattern import FILLING, KINDS
from tests.ranking.lm.processes_world import trained
from tests.ranking.lm.tiny_models import encoder

SECONDS = 280


@pytest.mark.timeout(SECONDS)
def test_two_processes_make_the_steps_of_one(tmp_path):
    encoder(tmp_path / "model", [*FILLING, *(word for pair in KINDS for word in pair)], layers=2)
    alone = trained(tmp_path, Ranks())
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *launcher, "-m", "tests.ranking.lm.processes_world", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    together = load_file(tmp_path / "result.safetensors")
    assert together.keys() == alone.keys()
    for name, tensor in together.items():
        # A softmax sees neither a key's bias nor the scores': their gradient is rounding, which AdamW makes into steps.
        if not name.endswith(("key.bias", "linear.bias")):
            torch.testing.assert_close(
                tensor, alone[name], rtol=0, atol=2e-5, msg=lambda said, at=name: f"{at}: {said}"
            )
