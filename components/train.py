"""Train: fits every ranker and writes them as one bundle."""

from typing import Any

from kfp.dsl import Dataset, Input, Model, Output

from components.component import component


@component
def train(features: Input[Dataset], config: dict[str, Any], workspace: str, code: str, bundle: Output[Model]) -> None:
    """Fits the rankers, on one process or many; a killed step goes on from its last checkpoint.

    Args:
        features: The features folder.
        config: Section `training` of the configuration.
        workspace: Folder whose `checkpoints` outlive the step.
        code: Version of the library.
        bundle: The rankers as safetensors and JSON, with a manifest of hashes.
    """
    import json
    from pathlib import Path

    from liverank.config import TrainingConfig
    from liverank.ranking.start_training import start_training
    from liverank.ranking.training_figures import figures

    checkpoints = Path(workspace) / "checkpoints"
    start_training(Path(features.path), Path(bundle.path), TrainingConfig.model_validate(config), checkpoints)
    manifest = json.loads((Path(bundle.path) / "manifest.json").read_text(encoding="utf-8"))
    bundle.metadata.update({key: manifest[key] for key in ("format", "created_at", "code_version", "data_hash")})
    bundle.metadata.update(figures(manifest["training"]))
