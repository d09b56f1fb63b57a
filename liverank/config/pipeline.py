"""Where the pipeline runs on Kubeflow and what each step gets there."""

from __future__ import annotations

from pydantic import Field

from liverank.config.base import Section


class StepResources(Section):
    """What a step's pod asks for; the requests are small so that one small node can hold a run."""

    cpu: str = Field("100m", description="CPU request (Kubernetes quantity).")
    memory: str = Field("256Mi", description="Memory request (Kubernetes quantity).")
    cpu_limit: str = Field("", description="CPU limit (Kubernetes quantity); empty for none.")
    memory_limit: str = Field("", description="Memory limit (Kubernetes quantity); empty for none.")
    gpus: int = Field(0, ge=0, description="GPUs of the pod.")
    gpu_resource: str = Field("nvidia.com/gpu", description="Kubernetes resource name of a GPU.")


class PipelineConfig(Section):
    """How many local runs are kept; and Kubeflow Pipelines: the server, the image and the pods."""

    keep_runs: int = Field(5, ge=1, description="Newest local runs whose folders stay, with those that they build on.")

    host: str = Field("", description="URL of the Kubeflow Pipelines API.")
    token_variable: str = Field("KFP_TOKEN", description="Environment variable that holds the bearer token, if any.")
    name: str = Field("liverank-training", description="Name of the training pipeline on the server.")
    tuning_name: str = Field("liverank-tuning", description="Name of the tuning pipeline on the server.")
    namespace: str = Field("", description="Profile namespace; empty on a single-user installation.")
    experiment: str = Field("liverank", description="Experiment of the runs.")
    service_account: str = Field("", description="Kubernetes service account of the pods; empty for the server's.")
    root: str = Field("", description="Artifact root of a run, e.g. s3://bucket/runs; empty for the server's.")
    image: str = Field("", description="Image of every step; empty for the one in the compiled pipeline.")
    retries: int = Field(0, ge=0, le=10, description="Times a failed step is tried again.")
    step: StepResources = StepResources()
    train: StepResources = StepResources()
    secrets: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="Kubernetes secret -> {its key: environment variable}, for MLflow and S3 credentials.",
    )
    volumes: dict[str, str] = Field(
        default_factory=dict, description="PersistentVolumeClaim -> path where every step mounts it."
    )
    timeout_seconds: float = Field(10, gt=0, description="Seconds to wait for the server's answer.")
