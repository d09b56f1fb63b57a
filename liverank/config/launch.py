"""Where training runs: in the step's own process, on several of its machine, or as a job on several machines."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from liverank.config.base import Section


class TrainJobConfig(Section):
    """A Kubeflow Trainer TrainJob: what each of its nodes is and gets."""

    runtime: str = Field("torch-distributed", description="Name of the ClusterTrainingRuntime or TrainingRuntime.")
    image: str = Field("", description="Image with liverank, as the pipeline's training image; needed for a TrainJob.")
    namespace: str = Field("", description="Kubernetes namespace of the job; empty for the one this runs in.")
    service_account: str = Field("", description="Kubernetes service account of the pods; empty for the default.")
    cpu: str = Field("4", description="CPUs of a node (Kubernetes quantity), request and limit.")
    memory: str = Field("16Gi", description="Memory of a node (Kubernetes quantity), request and limit.")
    gpus: int = Field(0, ge=0, description="GPUs of a node.")
    gpu_resource: str = Field("nvidia.com/gpu", description="Kubernetes resource name of a GPU.")
    volumes: dict[str, str] = Field(
        default_factory=dict,
        description="PersistentVolumeClaim -> path where every node mounts it. One of them must hold the workspace, at "
        "the path where the pipeline's steps mount it: features go there and the bundle comes back.",
    )
    env: dict[str, str] = Field(default_factory=dict, description="Environment variables of every node; no secrets.")
    timeout_hours: float = Field(24, gt=0, description="Hours after which a job that has not ended is given up.")
    poll_seconds: float = Field(5, gt=0, description="Seconds between looks at the job.")


class LaunchConfig(Section):
    """On how many processes and machines the interest model trains; the model that comes out is the same."""

    mode: Literal["inline", "torchrun", "trainjob"] = Field(
        "inline",
        description="inline: in the step's own process; torchrun: several processes on the step's machine; trainjob: "
        "a Kubeflow Trainer job on `nodes` machines.",
    )
    processes: int = Field(
        0, ge=0, description="Processes on each machine, for torchrun and trainjob; 0: one a GPU, or one without GPUs."
    )
    nodes: int = Field(1, ge=1, description="Machines of a TrainJob.")
    trainjob: TrainJobConfig = TrainJobConfig()

    @model_validator(mode="after")
    def _only_what_has_an_effect(self) -> Self:
        if self.mode == "inline" and self.processes > 1:
            raise ValueError(f"mode inline trains in one process, not in {self.processes}: set mode to torchrun")
        if self.mode != "trainjob" and self.nodes > 1:
            raise ValueError(f"only a trainjob runs on {self.nodes} nodes: set mode to trainjob")
        if self.mode == "trainjob" and not self.trainjob.image:
            raise ValueError("a trainjob needs trainjob.image, an image with liverank")
        return self
