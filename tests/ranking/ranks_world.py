"""One process of a training of several, on a world so small that it takes seconds: run under torchrun, or imported.

`python -m tests.ranking.ranks_world FOLDER DIES_AFTER OPTIONS_JSON`: the first process leaves `result.safetensors` in
FOLDER; after DIES_AFTER checkpoints (0: never) it kills itself with SIGKILL.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import save_file

from liverank.config.training import InterestConfig, TrainingConfig
from liverank.errors import LiverankError
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.interest import InterestRanker, fit_interest, help_fit_interest
from liverank.ranking.listwise import mean_ndcg
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.ranking.ranks import Ranks
from tests.ranking.test_count import catalogue_of, events_of

ITEMS, DAY = 12, 86400.0
OPTIONS: dict[str, Any] = {
    "dimension": 16,
    "layers": 1,
    "history_length": 8,
    # Some batches hold a single window: the second process has no share of them.
    "batch_steps": 14,
    "epochs": 3,
    "dropout": 0.0,
    "id_dropout": 0.0,
    "word_columns": 0,
    "checkpoint_steps": 2,
    "learning_rate": 0.003,
}


def world(users: int = 13):
    """Users who go through the items in steps of one or two, with histories of many lengths."""
    rows = [(user, (user + at * (1 + user % 2)) % ITEMS, float(at)) for user in range(users) for at in range(3 + user)]
    catalogue = catalogue_of(*(f"t{at}" for at in range(ITEMS))).with_embeddings(np.eye(ITEMS, dtype=np.float32))
    events = events_of(rows)
    met = np.bincount(events.item, minlength=ITEMS)
    return dataclasses.replace(catalogue, train_events=met), events


def config_of(**more: Any) -> TrainingConfig:
    return TrainingConfig(threads=1, device="cpu", interest=InterestConfig.model_validate({**OPTIONS, **more}))


class Dying(Checkpoint):
    """Kills its process right after so many checkpoints."""

    def __init__(self, path: Path, after: int = 0) -> None:
        super().__init__(path)
        self.left = after

    def save(self, *arguments: Any) -> None:
        super().save(*arguments)
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def fitted(folder: Path, config: TrainingConfig, ranks: Ranks, dies_after: int = 0) -> dict[str, torch.Tensor] | None:
    """Weights, losses and validation NDCGs of the first process; None in the others."""
    catalogue, events = world()
    checkpoint = Dying(folder / "checkpoint.safetensors", dies_after)
    encoder: Any = None  # Every text is known beforehand.
    # The text's dropout has no setting, and its chance differs from process to process.
    with patch.object(torch.nn.Dropout, "forward", lambda self, x: x):
        if not ranks.first:
            help_fit_interest(catalogue, events, config, checkpoint, ranks)
            ranks.leave()
            return None
        judge = _validate(catalogue)
        ranker, report = fit_interest(catalogue, events, config, encoder, judge, checkpoint, ranks)
        ranks.leave()
    found = {name: tensor.contiguous() for name, tensor in ranker.model.state_dict().items()}
    return {**found, "losses": torch.tensor(report.losses), "ndcgs": torch.tensor(report.ndcgs)}


def _validate(catalogue):
    ids, labels = list(catalogue.item_ids), [np.eye(ITEMS, dtype=np.float32)[at] for at in range(ITEMS)]
    histories = [History([ids[at - 2], ids[at - 1]], ["click"] * 2, [0.0, DAY]) for at in range(ITEMS)]
    requests = [Request(history, Candidates(ids), Context(2 * DAY)) for history in histories]
    return lambda ranker: mean_ndcg(InterestRanker.score_batch(ranker, requests), labels)


def main(folder: Path, dies_after: int, options: dict[str, Any]) -> int:
    ranks = Ranks.from_environment()
    if options.pop("odd", False) and ranks.rank == 1:
        options["learning_rate"] = 1.0
    try:
        ranks.join(torch.device("cpu"))
        found = fitted(folder, config_of(**options), ranks, dies_after)
    except LiverankError as problem:
        print(f"process {ranks.rank}: {problem}", file=sys.stderr, flush=True)  # noqa: T201
        return 2
    if found is not None:
        save_file(found, folder / "result.safetensors")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])))
