"""What the pipeline's commands share: they need the packages `pipelines` and `components`, which no wheel holds."""

from __future__ import annotations


def pipeline_ring() -> None:
    """Says where these commands run, if the pipeline's packages are not importable here.

    Raises:
        ConfigError: they are not.
    """
    from importlib.util import find_spec

    from liverank.errors import ConfigError

    for package in ("pipelines", "components"):
        if find_spec(package) is None:
            raise ConfigError(f"The package '{package}' is not at hand.", "Run this in a checkout or in the image.")
    if find_spec("kfp") is None:
        raise ConfigError("Kubeflow Pipelines' SDK is not installed.", "Install liverank[pipelines].")
