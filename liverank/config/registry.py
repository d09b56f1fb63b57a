"""Where models are registered."""

from __future__ import annotations

from pydantic import Field

from liverank.config.base import Section


class RegistryConfig(Section):
    """The MLflow registry."""

    tracking_uri: str = Field("", description="MLflow tracking URI; empty for SQLite in the workspace.")
    artifact_location: str = Field(
        "", description="Artifact root of a new experiment; empty for a workspace folder, or for the server's own."
    )
    experiment: str = Field("liverank", description="MLflow experiment of the training runs.")
    model_name: str = Field(
        "liverank",
        pattern=r"^[A-Za-z0-9_.\- ]+$",
        description="Name of the registered model: letters, digits, _ . - only.",
    )
    cache: str = Field(
        "", description="Folder for bundles downloaded from a remote registry; empty for the user's cache folder."
    )
    timeout_seconds: float = Field(5, gt=0, description="Seconds that a tracking server has to say that it is there.")
