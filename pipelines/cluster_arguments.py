"""The pipeline's arguments for a cluster: a pod sees neither this machine's files nor its model server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from liverank.config import Config
from liverank.data.locations import without_secrets
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
    for key, value in _places(config):
        if value and _is_local(value) and not _mounted(config, value):
            raise ConfigError(
                f"{key} is {without_secrets(value)}, which no pod can see.",
                "Use a path below a volume of pipeline.volumes, or a URL such as s3://bucket/events/.",
            )
    if not config.data.every_source() and not config.data.live_store:
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


def _places(config: Config) -> Iterator[tuple[str, str]]:
    """Where the data is, with the key that says so."""
    yield "data.source", config.data.source
    yield "data.live_store", config.data.live_store
    yield from ((f"data.sources[{at}].source", one.source) for at, one in enumerate(config.data.sources))


def _is_local(place: str) -> bool:
    return "://" not in place or place.startswith(("file://", "local://", "memory://", "sqlite://", "unix://"))


def _mounted(config: Config, path: str) -> bool:
    path = path.removeprefix("file://").removeprefix("local://")
    return any(PurePosixPath(path).is_relative_to(mount) for mount in config.pipeline.volumes.values())
