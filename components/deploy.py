"""Deploy: the promoted version serves, on this machine or in the cluster."""

from typing import Any

from kfp.dsl import Artifact, Input, Output

from components.component import component


@component
def deploy(
    version: Input[Artifact],
    config: dict[str, Any],
    registry: dict[str, Any],
    workspace: str,
    deployed: Output[Artifact],
) -> None:
    """Hands the version to the model server and waits until it serves.

    Args:
        version: The registered version, which is the champion.
        config: Section `deployment` of the configuration.
        registry: Section `registry` of the configuration.
        workspace: Folder where a local model server says that it runs.
        deployed: What serves now, as JSON.
    """
    import json
    from pathlib import Path

    from liverank.config import DeploymentConfig, RegistryConfig
    from liverank.deployment import deploy

    settings = DeploymentConfig.model_validate(config)
    number = json.loads(Path(version.path).read_text(encoding="utf-8"))["version"]
    facts = deploy(settings, RegistryConfig.model_validate(registry), Path(workspace), number)
    Path(deployed.path).write_text(json.dumps(facts), encoding="utf-8")
    deployed.metadata.update(facts)
