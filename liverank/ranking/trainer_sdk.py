"""TrainJobs through the Kubeflow SDK: the one module that knows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from liverank import progress
from liverank.errors import TrainingError
from liverank.ranking.trainjob import ABSENT, LABELS, Job

NODE = "node"
"""Name of the replicated job and of the container that trains, in Kubeflow's runtimes."""
NOT_FOUND, CONFLICT = 404, 409


class SdkJobs:
    """The TrainJobs of a namespace.

    Args:
        namespace: empty for the one this runs in, or the kubeconfig's.
        client: a `kubeflow.trainer.TrainerClient`; None makes one.

    Raises:
        TrainingError: the SDK is not installed, or no cluster is configured.
    """

    def __init__(self, namespace: str = "", client: Any = None) -> None:
        self.client = client or _connect(namespace)

    def create(self, job: Job) -> bool:
        """See `Jobs`."""
        from kubeflow.trainer import CustomTrainerContainer

        trainer = CustomTrainerContainer(
            image=job.image, num_nodes=job.nodes, resources_per_node=dict(job.resources), env=dict(job.env) or None
        )
        try:
            with _told(f"start TrainJob {job.name}"):
                self.client.train(runtime=job.runtime, trainer=trainer, options=_options(job))
        except TrainingError as problem:
            if _status(problem) == CONFLICT:
                return False
            raise
        return True

    def status(self, name: str) -> str:
        """See `Jobs`."""
        try:
            with _told(f"see TrainJob {name}"):
                return str(self.client.get_job(name).status)
        except TrainingError as problem:
            if _status(problem) == NOT_FOUND:
                return ABSENT
            raise

    def logs(self, name: str) -> Iterator[str]:
        """See `Jobs`; a log that breaks off is said, the job goes on."""
        try:
            for lines in self.client.get_job_logs(name, follow=True):
                yield from str(lines).splitlines()
        except (RuntimeError, TimeoutError, OSError) as problem:
            progress.note(f"the log of TrainJob {name} breaks off: {problem}")

    def delete(self, name: str) -> None:
        """See `Jobs`."""
        with _told(f"delete TrainJob {name}"):
            self.client.delete_job(name)


def _connect(namespace: str) -> Any:
    try:
        from kubeflow.trainer import KubernetesBackendConfig, TrainerClient
    except ImportError as problem:
        raise TrainingError(
            "training.launch.mode is trainjob, and the Kubeflow SDK is not installed.",
            "pip install 'liverank[trainer]'",
        ) from problem
    from kubernetes.config import ConfigException

    try:
        return TrainerClient(KubernetesBackendConfig(namespace=namespace or None))
    except ConfigException as problem:
        raise TrainingError(
            f"No Kubernetes cluster is configured: {problem}.", "Set KUBECONFIG, or run in a pod."
        ) from problem


def _options(job: Job) -> list[Any]:
    from kubeflow.trainer import options

    made = [
        options.Name(job.name),
        options.Labels(LABELS),
        options.TrainerCommand(["torchrun"]),
        options.TrainerArgs(list(job.arguments)),
        options.ActiveDeadlineSeconds(job.deadline_seconds),
    ]
    return [*made, _patch(job)] if job.volumes or job.service_account else made


def _patch(job: Job) -> Any:
    """Volumes and service account of the pods, which the SDK sets as a patch of the runtime."""
    from kubeflow.trainer import options

    mounts = [{"name": claim, "mountPath": path} for claim, path in job.volumes.items()]
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in job.volumes]
    pod = options.PodSpecPatch(
        service_account_name=job.service_account or None,
        volumes=volumes or None,
        containers=[options.ContainerPatch(name=NODE, volume_mounts=mounts)] if mounts else None,
    )
    template = options.JobTemplatePatch(spec=options.JobSpecPatch(template=options.PodTemplatePatch(spec=pod)))
    nodes = options.JobSetSpecPatch(replicated_jobs=[options.ReplicatedJobPatch(name=NODE, template=template)])
    spec = options.TrainingRuntimeSpecPatch(template=options.JobSetTemplatePatch(spec=nodes))
    return options.RuntimePatch(training_runtime_spec=spec)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """The SDK's errors, which are of many kinds around the cluster's own, as one that says what to do."""
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (RuntimeError, TimeoutError, ValueError, HTTPError) as problem:
        said = f"{problem}: {problem.__cause__}" if problem.__cause__ else str(problem)
        raise TrainingError(
            f"Cannot {what}: {' '.join(said.split())[:600]}.",
            "Check that Kubeflow Trainer and the runtime are installed, and what the service account may do.",
        ) from problem


def _status(problem: BaseException) -> int:
    """The HTTP status behind an error; 0 where there is none."""
    cause = problem.__cause__
    while cause is not None:
        status = getattr(cause, "status", 0)
        if isinstance(status, int) and status:
            return status
        cause = cause.__cause__
    return 0
