"""The deploy step: a registered version serves, in the local model server or as a KServe InferenceService.

Whatever goes wrong, the version that served before goes on serving, and the error says so.
"""

from __future__ import annotations

from pathlib import Path

from liverank.config.deployment import DeploymentConfig
from liverank.config.registry import RegistryConfig
from liverank.errors import ServingError
from liverank.progress import note


def deploy(config: DeploymentConfig, registry: RegistryConfig, workspace: Path, version: str) -> dict[str, str]:
    """Makes `version` serve and returns what serves now: `target`, `version`, `state` and where.

    Args:
        config: the target and how long to wait.
        registry: where the version is registered.
        workspace: the folder in which a local server announces itself.
        version: number of the registered version.

    Raises:
        ServingError: the server or the cluster refuses, fails or does not answer; the former version serves on.
        RegistryError: there is no such version, or the cluster could not fetch its files.
    """
    if config.target == "none":
        note(f"version {version} is not deployed: deployment.target is none")
        return {"target": "none", "version": version, "state": "not deployed"}
    if config.target == "local":
        from liverank.deployment.local import deploy_local

        return deploy_local(config, registry.model_name, workspace, version)
    from liverank.deployment.cluster import Cluster
    from liverank.deployment.kserve import deploy_kserve
    from liverank.registry import physical_uri

    uri = physical_uri(registry, version)
    if uri.startswith("file:"):
        raise ServingError(
            f"Version {version} lies in {uri}, which no pod can fetch.",
            "Set registry.artifact_location to an object store that the cluster reads.",
        )
    return deploy_kserve(Cluster.connect(config), uri, version)


__all__ = ["deploy"]
