"""One process of a fine-tuning of several: run under torchrun, or imported.

`python -m tests.ranking.lm.processes_world FOLDER`: FOLDER/model is the language model; the first process leaves
FOLDER/result.safetensors.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from liverank.config.lm import LmConfig
from liverank.config.training import InterestConfig, TrainingConfig
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.count import CountRanker
from liverank.ranking.lm.loading import load_scorer
from liverank.ranking.lm.training import train
from liverank.ranking.lm.training_lists import training_lists
from liverank.ranking.ranks import Ranks
from tests.ranking.hidden_pattern import shop

BATCH = 5
"""The two processes have unequal shares of it."""


def trained(folder: Path, ranks: Ranks) -> dict[str, torch.Tensor]:
    """Weights after six steps, and what was judged."""
    lm = LmConfig(
        enabled=True,
        model=str(folder / "model"),
        joint_layers=1,
        history_tokens=64,
        steps=6,
        judge_steps=3,
        batch=BATCH,
        precision="float32",
    )
    config = TrainingConfig(threads=1, seed=3, device="cpu", interest=InterestConfig(enabled=False), lm=lm)
    world = shop(60)
    count = CountRanker.fit(world.catalogue, world.events, config.count)
    lists = training_lists(world.catalogue, world.events, count, 40, 5, 40, config.seed)
    torch.manual_seed(0)
    prompts, scorer = load_scorer(lm.model, lm, torch.device("cpu"))
    asked = iter(range(100))
    at = Checkpoint(folder / f"checkpoint-{ranks.world}.safetensors")
    report = train(scorer, prompts, world.catalogue, lists, config, lambda _: float(next(asked)), at, ranks)
    found = {name: of.detach().contiguous() for name, of in scorer.trained().items()}
    return {**found, "losses": torch.tensor(report.losses), "judged": torch.tensor(report.judged)}


def main(folder: Path) -> int:
    ranks = Ranks.from_environment()
    ranks.join(torch.device("cpu"))
    found = trained(folder, ranks)
    ranks.leave()
    if ranks.first:
        save_file(found, folder / "result.safetensors")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
