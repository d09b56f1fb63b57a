"""Where the teachers of the interest model come from: bundles at hand, or trainings of their own before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liverank import progress
from liverank.config.training import DistilConfig, TrainingConfig
from liverank.errors import ConfigError
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.checkpoint import Checkpoint, checkpoint_path, forget_others
from liverank.ranking.data import TrainingData
from liverank.ranking.interest import InterestRanker, fit_interest
from liverank.ranking.ranks import Ranks
from liverank.ranking.teachers import Teacher, Teachers
from liverank.text import LanguageModel

KIND = "teacher"
"""Begins the names of the teachers' checkpoints."""


@dataclass(frozen=True)
class Taught:
    """The teachers, and what tells them from others."""

    teachers: Teachers
    identity: tuple[str, ...]
    """Hashes of their bundles; empty for teachers that follow from the data and the configuration."""


def teachers_of(
    data: TrainingData,
    encoder: LanguageModel,
    config: TrainingConfig,
    checkpoints: Path,
    validate: Callable[[InterestRanker], float] | None,
    ranks: Ranks | None = None,
) -> Taught | None:
    """The teachers that `training.interest.distil` asks for; None where it asks for none.

    Teachers that are trained here keep their state in `checkpoints`: a run that was killed goes on from there.

    Raises:
        BundleError: a teacher's bundle is missing or damaged.
        ConfigError: a teacher's bundle cannot teach this model, or several processes were to train teachers first.
    """
    distil = config.interest.distil
    if not distil.enabled:
        return None
    if distil.seeds and ranks and ranks.world > 1:
        raise ConfigError(
            "Several processes train one model, no teachers before it.",
            "Train bundles to teach first, and name them in training.interest.distil.teachers.",
        )
    identity: tuple[str, ...] = ()
    if distil.teachers:
        found = [_from_bundle(Path(path), encoder, data.data_hash) for path in distil.teachers]
        rankers, identity = [ranker for ranker, _ in found], tuple(name for _, name in found)
    else:
        rankers = _trained(data, encoder, config, checkpoints, validate)
    teachers = [Teacher.of(ranker, data.catalogue, data.events.types) for ranker in rankers]
    return Taught(Teachers(teachers, distil), identity)


def _from_bundle(path: Path, encoder: LanguageModel, data_hash: str) -> tuple[InterestRanker, str]:
    bundle = load_bundle(path.expanduser())
    if data_hash and bundle.manifest.get("data_hash") == data_hash and _knows_the_validation(bundle.manifest):
        raise ConfigError(
            f"The teacher {path} has learned the validation that the student is judged on: it was refitted.",
            "Train the teacher with training.refit.enabled=false.",
        )
    ranker = bundle.rankers.get("interest")
    if not isinstance(ranker, InterestRanker):
        raise ConfigError(f"The teacher {path} has no interest model.", "Name a bundle that was trained with one.")
    if bundle.manifest.get("language_model") != encoder.fingerprint():
        raise ConfigError(
            f"The teacher {path} reads texts with another language model.",
            "Set training.language_model and training.max_tokens to the teacher's.",
        )
    return ranker, bundle.hash


def _knows_the_validation(manifest: Mapping[str, Any]) -> bool:
    return bool(manifest.get("training", {}).get("refit_events"))


def _trained(
    data: TrainingData,
    encoder: LanguageModel,
    config: TrainingConfig,
    folder: Path,
    validate: Callable[[InterestRanker], float] | None,
) -> list[InterestRanker]:
    settings = [teacher_config(config, number) for number in range(config.interest.distil.seeds)]
    paths = [checkpoint_path(folder, KIND, _parts(data, encoder, one)) for one in settings]
    forget_others(folder, KIND, paths)
    rankers = []
    for number, (one, path) in enumerate(zip(settings, paths, strict=True), start=1):
        with progress.stage(f"teacher {number} of {len(settings)}"):
            ranker, _ = fit_interest(data.catalogue, data.events, one, encoder, validate, Checkpoint(path))
        rankers.append(ranker)
    return rankers


def _parts(data: TrainingData, encoder: LanguageModel, config: TrainingConfig) -> list[object]:
    return [data.data_hash, encoder.fingerprint(), config.interest.model_dump(mode="json"), config.seed]


def teacher_config(config: TrainingConfig, number: int) -> TrainingConfig:
    """The settings of a teacher that is trained here: another size, another seed, and no teacher of its own."""
    distil = config.interest.distil
    size = {"dimension": distil.dimension, "layers": distil.layers, "distil": DistilConfig()}
    interest = config.interest.model_copy(update=size)
    return config.model_copy(update={"interest": interest, "seed": config.seed + 1 + number})
