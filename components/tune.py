"""Tune: searches better training settings over folds of time, and says what they gain on the latest window."""

from typing import Any

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from components.component import component


@component
def tune(
    features: Input[Dataset],
    config: dict[str, Any],
    data: dict[str, Any],
    lists: dict[str, Any],
    training: dict[str, Any],
    evaluation: dict[str, Any],
    registry: dict[str, Any],
    workspace: str,
    code: str,
    best: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> bool:
    """Runs the study; a killed step goes on with it. True when the gain holds on the latest window.

    Args:
        features: The features folder.
        config: Section `tuning` of the configuration.
        data: Section `data` of the configuration.
        lists: Section `features` of the configuration, for histories and candidates.
        training: Section `training` of the configuration, where the search starts from.
        evaluation: Section `evaluation` of the configuration.
        registry: Section `registry` of the configuration; the study is logged there.
        workspace: Folder whose `tuning` outlives the step, with the study in it.
        code: Version of the library.
        best: The best settings, as a part of liverank.yaml.
        metrics: Best and present settings, and the gains with their intervals.
        report: One page with tables and plots.
    """
    import json
    import shutil
    from pathlib import Path

    from liverank.config import Config
    from liverank.tuning.search import tune

    sections = {"data": data, "features": lists, "training": training, "evaluation": evaluation, "registry": registry}
    settings = Config.model_validate({**sections, "tuning": config, "workspace": workspace})
    result, folder = tune(Path(features.path), settings)
    for name, value in result.metrics().items():
        metrics.log_metric(name, float(value))
    Path(metrics.path).write_text(json.dumps(metrics.metadata, allow_nan=False), encoding="utf-8")
    shutil.copyfile(folder / "best.yaml", best.path)
    shutil.copyfile(folder / "report.html", report.path)
    best.metadata.update(study=result.study, trial=result.best.number, holds=str(result.holds))
    return bool(result.holds)
