"""The pipeline as YAML: the same bytes for the same code, so that the file can be kept and compared."""

from __future__ import annotations

import os
from pathlib import Path

from liverank.config.pipeline import PipelineConfig
from pipelines.profile import profile_of

COMPILED = Path(__file__).parent / "compiled" / "training.yaml"


def compile_training(output: Path, config: PipelineConfig | None = None, *, resume: bool = True) -> Path:
    """Compiles the training pipeline into `output`, with the pods' settings of `config` (default: the defaults)."""
    from kfp import compiler

    from pipelines.training import training_pipeline

    pipeline = training_pipeline(profile_of(config or PipelineConfig()), resume)
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f".{output.stem}.{os.getpid()}.yaml")
    try:
        compiler.Compiler().compile(pipeline, str(draft))
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)
    return output
