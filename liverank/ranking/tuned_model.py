"""The language model that a training works with: as it was published, or tuned where that is wanted and helps."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.errors import PipelineError
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.data import Events
from liverank.ranking.ranks import Ranks
from liverank.ranking.speed import pick_device
from liverank.ranking.text_tuning import LEAST_HELD_OUT, TextTuningReport, tune
from liverank.text import LanguageModel
from liverank.text_layers import TunedLayers

_WAIT_SECONDS = 1.0


def tuned_language_model(
    texts: Sequence[str], events: Events, config: TrainingConfig, checkpoints: Path, ranks: Ranks | None = None
) -> tuple[LanguageModel, TextTuningReport | None]:
    """The configured language model, tuned where the configuration wants that and it helps.

    What was tuned is kept in `checkpoints`: the same texts, events and configuration are not tuned again, and a run
    that was killed goes on. Of several processes that train together the first tunes and the others wait for it.

    Args:
        texts: of all items.
        events: the training events; their items are places in `texts`.
        config: the language model, its tuning, seed and device.
        checkpoints: a folder that outlives the run.
        ranks: this process among those that train together; None: what the environment says.

    Returns:
        The model, and how tuning went; None where it is off.

    Raises:
        LanguageModelError: the model cannot be had, or not be cut into layers.
        ConfigError: a GPU is wanted and there is none.
    """
    plain = LanguageModel(config.language_model, config.max_tokens)
    if not wanted(config):
        return plain, None
    ranks = ranks or Ranks.from_environment()
    path = _result_file(plain, texts, events, config, checkpoints)
    if ranks.first and not path.is_file():
        state = path.with_suffix(".state.safetensors")
        layers, report = tune(texts, events, config, Checkpoint(state))
        TunedLayers(layers, plain.fingerprint(), asdict(report)).save(path)
        state.unlink(missing_ok=True)
    tuned = TunedLayers.load(_awaited(path, config.text.minutes))
    report = TextTuningReport(**tuned.facts)
    _tell(report)
    model = LanguageModel(config.language_model, config.max_tokens, tuned=tuned) if report.kept else plain
    return model, report


def wanted(config: TrainingConfig) -> bool:
    """Whether the language model is to be tuned; `auto` says so where there is a GPU to train on."""
    if config.text.tune == "auto":
        return pick_device(config.device).type == "cuda"
    return config.text.tune == "on"


def _result_file(
    plain: LanguageModel, texts: Sequence[str], events: Events, config: TrainingConfig, folder: Path
) -> Path:
    """The file of exactly these texts, events, model and configuration; those of others are removed."""
    found = hashlib.sha256(json.dumps(list(texts)).encode())
    for column in (events.user, events.item, events.weight, events.timestamp):
        found.update(np.ascontiguousarray(column).tobytes())
    told = [plain.fingerprint(), config.text.model_dump(mode="json", exclude={"tune"}), config.seed, config.device]
    found.update(json.dumps(told, sort_keys=True).encode())
    path = folder / f"text-{found.hexdigest()[:16]}.safetensors"
    for other in folder.glob("text-*"):
        if not other.name.startswith(path.stem):
            other.unlink(missing_ok=True)
    return path


def _awaited(path: Path, minutes: float) -> Path:
    """The file, once the process that tunes has written it.

    Raises:
        PipelineError: it does not come in twice the time that tuning may take.
    """
    until = time.monotonic() + 120 * minutes + 600
    while not path.is_file():
        if time.monotonic() > until:
            raise PipelineError(
                f"The first process left no tuned language model at {path}.",
                "Give all processes the same workspace folder, or set training.text.tune to off.",
            )
        time.sleep(_WAIT_SECONDS)
    return path


def _tell(report: TextTuningReport) -> None:
    if report.held_out < LEAST_HELD_OUT or not report.pairs:
        progress.note("the language model stays as published: too few items were taken together to tune it")
        return
    progress.note(
        f"recall@10 of unseen items' neighbours: {report.plain_recall:.4f} as published, {report.tuned_recall:.4f} "
        f"tuned (step {report.best_step}); {'tuned layers are used' if report.kept else 'it stays as published'}"
    )
