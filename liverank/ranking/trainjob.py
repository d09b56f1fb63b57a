"""Training as a Kubeflow Trainer TrainJob: the same entry module, under torchrun, on several machines.

Its pods do not get the step's artifacts. Features go to a folder below the checkpoints, on a volume that step and job
both mount, and the bundle comes back from there. The job's name is made of data and configuration, so that a step that
is tried again waits for the job it started before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import liverank
from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.errors import ConfigError, TrainingError
from liverank.ranking.launch import read_answer

if TYPE_CHECKING:
    from liverank.ranking.fit import FitSummary

COMPLETE, FAILED, RUNNING, ABSENT = "Complete", "Failed", "Running", ""
HOUR = 3600
LABELS = {"app.kubernetes.io/name": "liverank", "app.kubernetes.io/component": "training"}


@dataclass(frozen=True)
class Job:
    """What a TrainJob shall be."""

    name: str
    runtime: str
    image: str
    nodes: int
    resources: dict[str, str]
    """Kubernetes resource -> quantity, of each node."""
    arguments: tuple[str, ...]
    """Of torchrun."""
    env: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    """PersistentVolumeClaim -> mount path."""
    service_account: str = ""
    deadline_seconds: int = 24 * HOUR


class Jobs(Protocol):
    """The TrainJobs of a namespace."""

    def create(self, job: Job) -> bool:
        """Makes the job; False where one of its name is there already."""
        ...

    def status(self, name: str) -> str:
        """`Created`, `Running`, `Complete` or `Failed`; `ABSENT` where there is no such job."""
        ...

    def logs(self, name: str) -> Iterator[str]:
        """Lines of the first node's log, until it ends; none where it has not begun."""
        ...

    def delete(self, name: str) -> None:
        """Removes the job and its pods."""
        ...


def run_trainjob(
    features: Path,
    out: Path,
    config: TrainingConfig,
    checkpoints: Path,
    jobs: Jobs | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> FitSummary:
    """Trains in a TrainJob and brings the bundle to `out`.

    A job of this data and configuration that is under way is waited for; one that failed is started again, and goes on
    from its last checkpoint. Ending this process does not end the job.

    Raises:
        ConfigError: the checkpoints lie on none of the job's volumes.
        TrainingError: the job failed or took too long, or the cluster refuses it.
    """
    if jobs is None:
        from liverank.ranking.trainer_sdk import SdkJobs

        jobs = SdkJobs(config.launch.trainjob.namespace)
    job = job_of(features, config, checkpoints)
    stage = checkpoints.absolute() / job.name
    watch = _Watch(jobs, job, stage, config.launch.trainjob.poll_seconds, sleep, clock)
    _copy(features, stage / "features")
    watch.start()
    watch.follow()
    summary = read_answer(stage / "answer.json", f"in TrainJob {job.name} left no result")
    _copy(stage / "bundle", out)
    shutil.rmtree(stage, ignore_errors=True)
    return summary


def job_of(features: Path, config: TrainingConfig, checkpoints: Path) -> Job:
    """The job that trains on a features folder.

    Raises:
        ConfigError: the checkpoints lie on none of the job's volumes.
    """
    settings, checkpoints = config.launch.trainjob, checkpoints.absolute()
    if settings.volumes and not any(checkpoints.is_relative_to(path) for path in settings.volumes.values()):
        raise ConfigError(
            f"The workspace ({checkpoints.parent}) lies on none of training.launch.trainjob.volumes.",
            "Mount the claim that holds it at the path where the steps mount it (pipeline.volumes).",
        )
    name = f"liverank-train-{_identity(features, config)}"
    resources = {"cpu": settings.cpu, "memory": settings.memory}
    if settings.gpus:
        resources[settings.gpu_resource] = str(settings.gpus)
    return Job(
        name=name,
        runtime=settings.runtime,
        image=settings.image,
        nodes=config.launch.nodes,
        resources=resources,
        arguments=_arguments(config, checkpoints, checkpoints / name),
        env=settings.env,
        volumes=settings.volumes,
        service_account=settings.service_account,
        deadline_seconds=round(settings.timeout_hours * HOUR),
    )


def _identity(features: Path, config: TrainingConfig) -> str:
    split = (features / "split.json").read_bytes() if (features / "split.json").is_file() else b""
    parts = [hashlib.sha256(split).hexdigest(), config.model_dump(mode="json"), liverank.__version__]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _arguments(config: TrainingConfig, checkpoints: Path, stage: Path) -> tuple[str, ...]:
    processes = config.launch.processes or max(1, config.launch.trainjob.gpus)
    # Machines, addresses and ranks come from the runtime, in torchrun's environment variables.
    return (
        f"--nproc-per-node={processes}",
        "-m",
        "liverank.ranking.launch",
        f"--features={stage / 'features'}",
        f"--out={stage / 'bundle'}",
        f"--checkpoints={checkpoints}",
        f"--answer={stage / 'answer.json'}",
        f"--config={config.model_dump_json()}",
    )


@dataclass(frozen=True)
class _Watch:
    """A job from its start to its end."""

    jobs: Jobs
    job: Job
    stage: Path
    poll_seconds: float
    sleep: Callable[[float], None]
    clock: Callable[[], float]

    def start(self) -> None:
        """Makes the job, unless it is there and of use."""
        name = self.job.name
        status = self.jobs.status(name)
        if status == FAILED or (status == COMPLETE and not self._result().is_file()):
            progress.note(f"TrainJob {name} is {status} without a result: it is started again")
            self.jobs.delete(name)
            self._until(lambda found: found == ABSENT)
            status = ABSENT
        if status == ABSENT:
            self._result().unlink(missing_ok=True)
        if status == ABSENT and self.jobs.create(self.job):
            progress.note(f"TrainJob {name}: {self.job.nodes} nodes of {self.job.image}")
        else:
            progress.note(f"TrainJob {name} is there already: waiting for it")

    def follow(self) -> None:
        """Waits for the job's end, with the log of its first node."""
        shown = False

        def ended(status: str) -> bool:
            nonlocal shown
            if status == RUNNING and not shown:
                for line in self.jobs.logs(self.job.name):
                    shown = True
                    progress.note(line)
            return status in (COMPLETE, FAILED, ABSENT)

        status = self._until(ended)
        if status != COMPLETE:
            read_answer(self._result(), f"in TrainJob {self.job.name} ended ({status or 'the job was deleted'})")

    def _result(self) -> Path:
        return self.stage / "answer.json"

    def _until(self, enough: Callable[[str], bool]) -> str:
        deadline = self.clock() + self.job.deadline_seconds
        while not enough(status := self.jobs.status(self.job.name)):
            if self.clock() > deadline:
                raise TrainingError(
                    f"TrainJob {self.job.name} is {status} after {self.job.deadline_seconds / HOUR:g} hours.",
                    "Raise training.launch.trainjob.timeout_hours, or see what the job waits for.",
                )
            self.sleep(self.poll_seconds)
        return status


def _copy(source: Path, target: Path) -> None:
    """Copies a folder in place of `target`, whole or not at all."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, part)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(part, target)
