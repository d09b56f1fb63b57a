"""Evaluate: metrics with intervals against the baselines and the champion, and the gate's verdict."""

from typing import Any

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components.component import component


@component
def evaluate(
    features: Input[Dataset],
    bundle: Input[Model],
    config: dict[str, Any],
    registry: dict[str, Any],
    champion: str,
    code: str,
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> bool:
    """Ranks the test requests; True when the gate lets the model become champion.

    Args:
        features: The features folder.
        bundle: The challenger.
        config: Section `evaluation` of the configuration.
        registry: Section `registry` of the configuration, which knows the champion.
        champion: Version of the champion when the run began; only a new one makes this step run again.
        code: Version of the library.
        evaluation: Metrics, per-request results and the monitor's reference.
        metrics: The metrics, as numbers.
        report: One page with tables and plots.
    """
    import json
    import shutil
    from pathlib import Path

    from liverank.config import EvaluationConfig, RegistryConfig
    from liverank.evaluation.run import evaluate
    from liverank.registry import champion_bundle

    challenger, out = Path(bundle.path), Path(evaluation.path)
    settings = EvaluationConfig.model_validate(config)
    reigning = champion_bundle(RegistryConfig.model_validate(registry))
    result = evaluate(Path(features.path), challenger, out, settings, reigning)
    for name, value in result.metrics.items():
        metrics.log_metric(name, float(value))
    Path(metrics.path).write_text(json.dumps(metrics.metadata, allow_nan=False), encoding="utf-8")
    shutil.copyfile(out / "report.html", report.path)
    evaluation.metadata.update(promote=bool(result.promote), reasons=list(result.reasons))
    return bool(result.promote)
