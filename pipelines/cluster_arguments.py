"""The pipeline's arguments for a cluster: a pod sees neither this machine's files nor its model server."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from liverank.config import Config
from liverank.errors import ConfigError
from pipelines.arguments import pipeline_arguments
from pipelines.fingerprint import code_version, snapshot

POD_WORKSPACE = "/tmp/liverank"


def cluster_arguments(config: Config, **extra: str) -> dict[str, Any]:
    """The arguments of a run on Kubeflow.

    Raises:
        ConfigError: a part of the configuration means this machine: a file outside `pipeline.volumes`, the default
            registry, the local model server.
    """
    for key in ("source", "live_store"):
        value = getattr(config.data, key)
        if value and "://" not in value and not _mounted(config, value):
            raise ConfigError(
                f"data.{key} is {value}, which no pod can see.",
                "Use a path below a volume of pipeline.volumes.",
            )
    if not config.data.source and not config.data.live_store:
        raise ConfigError("Neither data.source nor data.live_store is set.", "Set data.source to your data.")
    if not config.registry.tracking_uri or config.registry.tracking_uri.startswith(("sqlite:", "file:", "/")):
        raise ConfigError(
            "registry.tracking_uri is a file, which ends with the pod.", "Set it to the URL of an MLflow server."
        )
    if config.deployment.target == "local":
        raise ConfigError("deployment.target is 'local', and a pod has no model server.", "Set it to kserve or none.")
    workspace = config.workspace if _mounted(config, config.workspace) else POD_WORKSPACE
    placed = config.model_copy(update={"workspace": workspace})
    image = {"image": config.pipeline.image} if config.pipeline.image else {}
    return pipeline_arguments(placed, snapshot=snapshot(config.data), code=code_version(), **image, **extra)


def _mounted(config: Config, path: str) -> bool:
    return any(PurePosixPath(path).is_relative_to(mount) for mount in config.pipeline.volumes.values())
