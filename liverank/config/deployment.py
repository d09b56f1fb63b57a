"""Where a promoted model goes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from liverank.config.base import Section


class DeploymentConfig(Section):
    """What the deploy step changes."""

    target: Literal["local", "kserve", "none"] = Field(
        "local",
        description="local: swap the workspace's model server; kserve: patch the InferenceService; none: stop before.",
    )
    namespace: str = Field("liverank", description="Kubernetes namespace of the InferenceService.")
    service: str = Field("liverank", description="Name of the InferenceService.")
    token_variable: str = Field(
        "LIVERANK_TOKEN", description="Environment variable that holds the local model server's bearer token, if any."
    )
    timeout_seconds: float = Field(600, gt=0, description="Seconds to wait until the new version serves.")
    poll_seconds: float = Field(2, gt=0, description="Seconds between looks at the InferenceService.")
