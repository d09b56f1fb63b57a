"""Register: one version of the model with its lineage; the gate's verdict moves the aliases."""

from typing import Any

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.component import component


@component
def register(
    bundle: Input[Model],
    evaluation: Input[Artifact],
    accepted: Input[Dataset],
    config: dict[str, Any],
    code: str,
    run: str,
    job: str,
    version: Output[Artifact],
) -> bool:
    """Registers the bundle (once, however often it runs); True when its version is the champion.

    Args:
        bundle: The challenger.
        evaluation: Its evaluation, with the gate's verdict.
        accepted: The validated dataset, with `result.json`.
        config: Section `registry` of the configuration.
        code: Version of the library.
        run: Id of the run as its starter gave it, if it did.
        job: Id of the run as Kubeflow gave it.
        version: The registered version as JSON.
    """
    import dataclasses
    import json
    from pathlib import Path

    from liverank.config import RegistryConfig
    from liverank.registry import Lineage, register

    manifest = json.loads((Path(bundle.path) / "manifest.json").read_text(encoding="utf-8"))
    registered = register(
        Path(bundle.path),
        Path(evaluation.path),
        Path(accepted.path) / "result.json",
        RegistryConfig.model_validate(config),
        lineage=Lineage(data_hash=manifest["data_hash"], code_version=code, pipeline_run_id=run or job),
    )
    facts = dataclasses.asdict(registered)
    Path(version.path).write_text(json.dumps(facts, default=str), encoding="utf-8")
    version.metadata.update(json.loads(json.dumps(facts, default=str)))
    return bool(registered.promoted)
