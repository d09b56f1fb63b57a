"""What the monitor's decision sets off: a retraining run here or on Kubeflow, one at a time, once for each reason.

Both follow `monitoring.trigger.Trigger`. A retraining run reads the live store's log beside the source, because what
users did since the last training is the reason for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from liverank.config import Config
from liverank.config.remembered_data import remembered_data
from liverank.errors import ConfigError, PipelineError
from monitoring.trigger import Facts, TriggerResult
from pipelines.client import KubeflowClient
from pipelines.local import OnProgress, run_local
from pipelines.run_lock import is_running


@dataclass(frozen=True)
class LocalTrigger:
    """Runs the pipeline on this machine and returns when it has ended."""

    config: Config
    on_progress: OnProgress | None = None

    def active(self) -> str | None:
        """Process id of the run under way in this workspace."""
        return is_running(self.config.workspace_path / "runs")

    def start(self, reason: Facts) -> TriggerResult:
        """Runs the pipeline on everything logged so far, unless a run is under way or this one has ended well.

        A run of this name that was cut short is taken up again: what it finished is not done twice.

        Where the configuration names no source, the run reads the one that the workspace's latest run trained on.

        Raises:
            ConfigError: neither the configuration nor the workspace knows a source.
            LiverankError: a step failed, or validation stopped the run.
        """
        name = reason.run_name
        if busy := self.active():
            return TriggerResult(run_id=name, started=False, detail=f"process {busy} runs the pipeline already")
        if (self.config.workspace_path / "runs" / name / "ended").exists():
            return TriggerResult(run_id=name, started=False, detail="this run has been made already")
        run = run_local(with_live_log(with_source(self.config)), self.on_progress, run_id=name)
        return TriggerResult(run_id=name, started=True, detail=_verdict(run.outputs))


@dataclass(frozen=True)
class KfpTrigger:
    """Submits the pipeline to Kubeflow and returns at once."""

    config: Config
    connect: Callable[[Config], KubeflowClient] = KubeflowClient

    def active(self) -> str | None:
        """Id of a run of the experiment that has not ended."""
        return self.connect(self.config).active()

    def start(self, reason: Facts) -> TriggerResult:
        """Submits a run named `reason.run_name`, unless one is under way or one of that name exists.

        Raises:
            PipelineError: the server does not answer or refuses.
        """
        client = self.connect(self.config)
        if running := client.active():
            return TriggerResult(run_id=running, started=False, detail="a run is under way")
        if former := client.run_named(reason.run_name):
            return TriggerResult(run_id=former, started=False, detail=f"{reason.run_name} has been submitted already")
        run = client.submit(reason.run_name, resume=False)
        return TriggerResult(run_id=run.id, started=True, detail=run.url)


def with_source(config: Config) -> Config:
    """The configuration with the workspace's remembered data where it names none itself.

    Raises:
        ConfigError: neither knows any data.
    """
    if config.data.every_source():
        return config
    known = remembered_data(config.workspace_path)
    if known is not None:
        data = known.model_copy(update={"live_store": config.data.live_store or known.live_store})
        return config.model_copy(update={"data": data})
    if config.data.live_store:
        return config
    raise ConfigError(
        f"data.source is not set and no run in {config.workspace_path} left one: the live log alone is too little "
        "to train on.",
        "Set data.source.",
    )


def with_live_log(config: Config) -> Config:
    """The configuration with the live store's log among the data."""
    if config.data.live_store:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"live_store": config.store_place})})


def trigger_for(config: Config, on_progress: OnProgress | None = None) -> LocalTrigger | KfpTrigger:
    """Kubeflow where a host is configured, this machine otherwise."""
    return KfpTrigger(config) if config.pipeline.host else LocalTrigger(config, on_progress)


def _verdict(outputs: dict[str, Any]) -> str:
    registered = outputs.get("register")
    if not registered:
        raise PipelineError("The retraining run ended without a registered version.", "Its log says why.")
    return f"version {registered['version']} " + ("is champion" if registered["promoted"] else "was not promoted")
