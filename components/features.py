"""Features: histories without leakage, popularity, the split by time, and the lists to rank."""

from typing import Any

from kfp.dsl import Dataset, Input, Output

from components.component import component


@component
def features(
    dataset: Input[Dataset],
    config: dict[str, Any],
    data: dict[str, Any],
    training: dict[str, Any],
    workspace: str,
    code: str,
    table: Output[Dataset],
) -> None:
    """Builds what the rankers are fitted on and judged by.

    Args:
        dataset: The accepted dataset.
        config: Section `features` of the configuration.
        data: Section `data` of the configuration.
        training: Section `training` of the configuration, for the retriever.
        workspace: Folder where the features of past days are kept, so that a new day costs a day.
        code: Version of the library.
        table: The features folder: items, events, requests and the split.
    """
    import json
    from pathlib import Path

    from liverank.config import DataConfig, FeatureConfig, TrainingConfig
    from liverank.features.build import build_features

    build_features(
        Path(dataset.path),
        Path(table.path),
        FeatureConfig.model_validate(config),
        DataConfig.model_validate(data),
        TrainingConfig.model_validate(training),
        Path(workspace) / "features",
    )
    table.metadata.update(json.loads((Path(table.path) / "split.json").read_text(encoding="utf-8")))
