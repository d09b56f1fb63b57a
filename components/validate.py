"""Validate: the checks of the data contract; rows that break it are set aside, a broken dataset stops the run."""

from typing import Any

from kfp.dsl import HTML, Dataset, Input, Output

from components.component import component


@component
def validate(
    dataset: Input[Dataset],
    validation: dict[str, Any],
    data: dict[str, Any],
    workspace: str,
    code: str,
    accepted: Output[Dataset],
    quarantine: Output[Dataset],
    report: Output[HTML],
) -> bool:
    """Judges the dataset; True when the run may go on.

    Args:
        dataset: What ingest wrote.
        validation: Section `validation` of the configuration.
        data: Section `data` of the configuration.
        workspace: Folder where the history of validations is kept.
        code: Version of the library.
        accepted: The dataset without the rows that were set aside, and `result.json` with every check.
        quarantine: The rows set aside, with their reasons.
        report: One page with every check and failing rows.
    """
    from datetime import UTC, datetime
    from pathlib import Path

    from liverank.config import DataConfig, ValidationConfig
    from liverank.validation.run import validate

    result = validate(
        Path(dataset.path),
        ValidationConfig.model_validate(validation),
        DataConfig.model_validate(data),
        Path(accepted.path),
        Path(quarantine.path),
        Path(report.path),
        datetime.now(UTC),
        Path(workspace) / "validation",
    )
    accepted.metadata.update(result.summary)
    return bool(result.ok)
