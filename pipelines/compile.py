"""The pipelines as YAML: the same bytes for the same code, so that the files can be kept and compared."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from liverank.config.pipeline import PipelineConfig
from pipelines.profile import Profile, profile_of

_FOLDER = Path(__file__).parent / "compiled"
COMPILED = _FOLDER / "training.yaml"
COMPILED_TUNING = _FOLDER / "tuning.yaml"


def compile_training(output: Path, config: PipelineConfig | None = None, *, resume: bool = True) -> Path:
    """Compiles the training pipeline into `output`, with the pods' settings of `config` (default: the defaults)."""
    from pipelines.training import training_pipeline

    return _compile(training_pipeline, output, config, resume)


def compile_tuning(output: Path, config: PipelineConfig | None = None, *, resume: bool = True) -> Path:
    """Compiles the tuning pipeline, as `compile_training` does the training pipeline."""
    from pipelines.tuning import tuning_pipeline

    return _compile(tuning_pipeline, output, config, resume)


def _compile(
    pipeline: Callable[[Profile, bool], Any], output: Path, config: PipelineConfig | None, resume: bool
) -> Path:
    from kfp import compiler

    made = pipeline(profile_of(config or PipelineConfig()), resume)
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f".{output.stem}.{os.getpid()}.yaml")
    try:
        compiler.Compiler().compile(made, str(draft))
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)
    return output
