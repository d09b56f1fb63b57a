"""Rows that are moved when they are met end where the dense optimizer moves them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from liverank.ranking import interest_steps
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.interest_training import train
from liverank.ranking.lazy_rows import LazyRows
from tests.ranking.ranks_world import config_of, world

ROWS, WIDTH = 40, 3


def optimizer_of(table: torch.nn.Embedding, decay: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(table.parameters(), lr=0.1, betas=(0.9, 0.98), weight_decay=decay, fused=True)


def tables(seed: int) -> tuple[torch.nn.Embedding, torch.nn.Embedding]:
    torch.manual_seed(seed)
    dense = torch.nn.Embedding(ROWS, WIDTH)
    lazy = torch.nn.Embedding.from_pretrained(dense.weight.detach().clone(), freeze=False)
    return dense, lazy


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("settled", [7, 1000])
def test_rows_and_moments_are_those_of_the_dense_optimizer(decay, settled):
    dense, lazy = tables(1)
    optimizer, kept = optimizer_of(dense, decay), optimizer_of(lazy, decay)
    rows, rng = LazyRows(lazy, kept), np.random.default_rng(2)
    for step in range(60):
        rate = 0.1 * (1 - step / 60)
        met = torch.from_numpy(np.sort(rng.choice(ROWS // 2 if step > 20 else ROWS, 4, replace=False)))
        gradient = torch.randn(4, WIDTH)
        rows.settle(met)
        torch.testing.assert_close(lazy.weight[met], dense.weight[met], rtol=1e-4, atol=1e-5)
        optimizer.param_groups[0]["lr"] = rate
        dense.weight.grad = torch.zeros_like(dense.weight).index_copy(0, met, gradient)
        optimizer.step()
        rows.step(met, gradient, rate)
        if step % settled == settled - 1:
            rows.settle_all()
    rows.settle_all()
    torch.testing.assert_close(lazy.weight, dense.weight, rtol=1e-4, atol=1e-5)
    for name, value in optimizer.state[dense.weight].items():
        torch.testing.assert_close(kept.state[lazy.weight][name], value, rtol=1e-4, atol=1e-6)


def test_an_untouched_row_only_decays():
    _, lazy = tables(3)
    before = lazy.weight.detach().clone()
    rows = LazyRows(lazy, optimizer_of(lazy, 0.5))
    for _ in range(3):
        rows.step(torch.tensor([0]), torch.ones(1, WIDTH), 0.1)
    torch.testing.assert_close(lazy.weight[1:], before[1:])
    rows.settle_all()
    torch.testing.assert_close(lazy.weight[1:], before[1:] * 0.95**3)


def trained(folder, **more):
    events = world()[1]
    # Items that nobody met: their rows never have a gradient.
    features = np.eye(30, 12, dtype=np.float32)
    config = config_of(full_softmax_items=4, negatives=3, epochs=2, averaging=0, **more)
    return train(features, events, config, None, Checkpoint(folder / "checkpoint.safetensors"))[0].state_dict()


def test_training_ends_with_the_weights_of_dense_steps(tmp_path, monkeypatch):
    for name in ("dense", "lazy"):
        (tmp_path / name).mkdir()
    dense = trained(tmp_path / "dense")
    monkeypatch.setattr(interest_steps, "LAZY_ITEMS", 1)
    lazy = trained(tmp_path / "lazy")
    for name, tensor in dense.items():
        if not name.endswith("qkv.bias"):
            torch.testing.assert_close(lazy[name], tensor, rtol=0, atol=1e-4)


class Stopped(Exception):
    pass


@dataclasses.dataclass
class Stopping(Checkpoint):
    """Raises after so many checkpoints."""

    path: object
    left: int

    def save(self, *arguments):
        super().save(*arguments)
        self.left -= 1
        if self.left == 0:
            raise Stopped


def test_it_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(interest_steps, "LAZY_ITEMS", 1)
    (tmp_path / "whole").mkdir()
    whole = trained(tmp_path / "whole")
    events = world()[1]
    config = config_of(full_softmax_items=4, negatives=3, epochs=2, averaging=0)
    with pytest.raises(Stopped):
        train(np.eye(30, 12, dtype=np.float32), events, config, None, Stopping(tmp_path / "checkpoint.safetensors", 2))
    for name, tensor in trained(tmp_path).items():
        torch.testing.assert_close(whole[name], tensor, rtol=0, atol=0)
