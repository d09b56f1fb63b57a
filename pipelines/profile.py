"""What each task of the pipeline gets on Kubernetes: image, requests, GPUs, retries and credentials."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from liverank.config.pipeline import PipelineConfig, StepResources


@dataclass(frozen=True)
class TaskProfile:
    """Kubernetes settings of one kind of step; the local runner ignores all of them but the retries."""

    resources: StepResources = field(default_factory=StepResources)
    retries: int = 0
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    """Secret name -> {its key: environment variable}."""
    volumes: dict[str, str] = field(default_factory=dict)
    """PersistentVolumeClaim -> mount path."""

    def apply(self, task: Any) -> Any:
        """Sets everything on a pipeline task and returns it."""
        from kfp import kubernetes

        _ask(task, self.resources)
        if self.retries:
            task.set_retry(num_retries=self.retries, backoff_duration="30s", backoff_factor=2.0)
        for name, keys in self.secrets.items():
            kubernetes.use_secret_as_env(task, secret_name=name, secret_key_to_env=keys)
        for claim, path in self.volumes.items():
            kubernetes.mount_pvc(task, pvc_name=claim, mount_path=path)
        return task


@dataclass(frozen=True)
class Profile:
    """The profiles of a pipeline: one for every step, and the training step's own."""

    step: TaskProfile = field(default_factory=TaskProfile)
    train: TaskProfile = field(default_factory=TaskProfile)


def profile_of(config: PipelineConfig) -> Profile:
    """The profiles that a configuration asks for."""
    return Profile(
        step=TaskProfile(config.step, config.retries, config.secrets, config.volumes),
        train=TaskProfile(config.train, config.retries, config.secrets, config.volumes),
    )


def _ask(task: Any, resources: StepResources) -> None:
    task.set_cpu_request(resources.cpu).set_memory_request(resources.memory)
    if resources.cpu_limit:
        task.set_cpu_limit(resources.cpu_limit)
    if resources.memory_limit:
        task.set_memory_limit(resources.memory_limit)
    if resources.gpus:
        task.set_accelerator_type(resources.gpu_resource).set_accelerator_limit(resources.gpus)
