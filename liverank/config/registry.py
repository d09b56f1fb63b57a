"""Where models are registered."""

from __future__ import annotations

from pydantic import Field

from liverank.config.base import Section


class RegistryConfig(Section):
    """The MLflow registry."""

    tracking_uri: str = Field("", description="MLflow tracking URI; empty for SQLite in the workspace.")
    artifact_location: str = Field("", description="Artifact root of a new experiment; empty for a workspace folder.")
    experiment: str = Field("liverank", description="MLflow experiment of the training runs.")
    model_name: str = Field("liverank", description="Name of the registered model.")
