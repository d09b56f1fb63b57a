"""Kubeflow Pipelines: submit a run, keep a schedule, say who is running. Everything can be repeated without harm."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liverank.config import Config
from liverank.errors import ConfigError, PipelineError
from pipelines.arguments import asked_for
from pipelines.cluster_arguments import cluster_arguments
from pipelines.compile import COMPILED, COMPILED_TUNING, compile_training, compile_tuning
from pipelines.fingerprint import code_version

ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
PAGE = 100


@dataclass(frozen=True)
class Submitted:
    """Something that the server now has."""

    id: str
    name: str
    url: str
    version: str
    """Name of the pipeline version that it runs."""


class KubeflowClient:
    """A thin layer over `kfp.Client`: one line for every error, and upserts where the API has none."""

    def __init__(self, config: Config) -> None:
        """Connects.

        Raises:
            ConfigError: no host is configured.
            PipelineError: the host does not answer, or refuses the token.
        """
        self._config, self._settings = config, config.pipeline
        if not self._settings.host:
            raise ConfigError("pipeline.host is not set.", "Set it to the URL of the Kubeflow Pipelines API.")
        token = os.environ.get(self._settings.token_variable)
        _knock(self._settings.host, token, self._settings.timeout_seconds)
        with self._speaking():
            import kfp

            self._client = kfp.Client(host=self._settings.host, existing_token=token, namespace=self._namespace or "")

    @property
    def _namespace(self) -> str | None:
        return self._settings.namespace or None

    def submit(self, name: str, *, resume: bool = True, tuning: bool = False) -> Submitted:
        """Starts one run called `name`; with `resume`, steps whose inputs are known are taken from earlier runs.

        With `tuning` it is the tuning pipeline that runs.
        """
        arguments = cluster_arguments(self._config, run=name)
        with self._speaking():
            pipeline, version, label = self._upload(resume, tuning)
            run = self._client.run_pipeline(
                self._experiment(),
                name,
                params=asked_for(COMPILED_TUNING if tuning else COMPILED, arguments),
                pipeline_id=pipeline,
                version_id=version,
                pipeline_root=self._settings.root or None,
                service_account=self._settings.service_account or None,
            )
        return Submitted(run.run_id, name, f"{self._settings.host}/#/runs/details/{run.run_id}", label)

    def schedule(self, name: str, cron: str) -> Submitted:
        """Makes the one recurring run called `name` follow `cron` (six fields, seconds first) with today's code."""
        arguments = cluster_arguments(self._config)
        with self._speaking():
            pipeline, version, label = self._upload(resume=False)
            experiment = self._experiment()
            former = self._schedules(experiment, name)
            job = self._client.create_recurring_run(
                experiment,
                name,
                cron_expression=cron,
                max_concurrency=1,
                no_catchup=True,
                params=asked_for(COMPILED, arguments),
                pipeline_id=pipeline,
                version_id=version,
                pipeline_root=self._settings.root or None,
                service_account=self._settings.service_account or None,
            )
            # Only now: if the new one is refused, the old schedule still stands.
            for old in former:
                self._client.delete_recurring_run(old)
        address = f"{self._settings.host}/#/recurringrun/details/{job.recurring_run_id}"
        return Submitted(job.recurring_run_id, name, address, label)

    def active(self) -> str | None:
        """Id of a run of the experiment that has not ended; None where there is none."""
        with self._speaking():
            found = self._runs(*({"operation": "NOT_EQUALS", "key": "state", "stringValue": s} for s in ENDED))
        return str(found[0].run_id) if found else None

    def run_named(self, name: str) -> str | None:
        """Id of the run of the experiment with this name, ended or not; None where there is none."""
        with self._speaking():
            found = self._runs({"operation": "EQUALS", "key": "display_name", "stringValue": name})
        return str(found[0].run_id) if found else None

    def _runs(self, *predicates: dict[str, str]) -> list[Any]:
        filter_ = json.dumps({"predicates": list(predicates)})
        listed = self._client.list_runs(experiment_id=self._experiment(), page_size=PAGE, filter=filter_)
        return list(listed.runs or [])

    def _schedules(self, experiment: str, name: str) -> list[str]:
        filter_ = json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})
        listed = self._client.list_recurring_runs(experiment_id=experiment, page_size=PAGE, filter=filter_)
        return [job.recurring_run_id for job in listed.recurring_runs or []]

    def _experiment(self) -> str:
        return str(self._client.create_experiment(self._settings.experiment, namespace=self._namespace).experiment_id)

    def _upload(self, resume: bool, tuning: bool = False) -> tuple[str, str, str]:
        """Ids of the pipeline and of the version that this code and configuration compile to, and its name."""
        name, make = self._settings.name, compile_training
        if tuning:
            name, make = self._settings.tuning_name, compile_tuning
        with tempfile.TemporaryDirectory() as folder:
            file = make(Path(folder) / "pipeline.yaml", self._settings, resume=resume)
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
            label = f"{code_version()}-{digest}"
            pipeline = self._client.get_pipeline_id(name)
            if not pipeline:
                made = self._client.upload_pipeline(str(file), pipeline_name=name, namespace=self._namespace)
                pipeline = made.pipeline_id
            version = self._version(pipeline, label)
            if not version:
                made = self._client.upload_pipeline_version(str(file), label, pipeline_id=pipeline)
                version = made.pipeline_version_id
        return str(pipeline), str(version), label

    def _version(self, pipeline: str, label: str) -> str | None:
        filter_ = json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": label}]})
        listed = self._client.list_pipeline_versions(pipeline, page_size=PAGE, filter=filter_)
        versions = listed.pipeline_versions or []
        return versions[0].pipeline_version_id if versions else None

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Keeps the client's printing away and turns what it raises into one line."""
        import kfp_server_api
        import urllib3

        with contextlib.redirect_stdout(io.StringIO()):
            try:
                yield
            except kfp_server_api.ApiException as problem:
                raise _refusal(self._settings.host, problem) from problem
            except urllib3.exceptions.HTTPError as problem:
                raise _silence(self._settings.host, problem) from problem


def _knock(host: str, token: str | None, timeout: float) -> None:
    """Asks the server whether it is there: its own client would try for half a minute."""
    import httpx

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.get(f"{host.rstrip('/')}/apis/v2beta1/healthz", headers=headers, timeout=timeout)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise _silence(host, problem) from problem
    if answer.status_code in (401, 403):
        raise PipelineError(
            f"{host} refuses the token ({answer.status_code}).", "Set the variable that pipeline.token_variable names."
        )
    if answer.status_code >= 400:
        raise PipelineError(
            f"{host} answers {answer.status_code} where Kubeflow Pipelines says that it is healthy.",
            "Check pipeline.host.",
        )


def _silence(host: str, problem: Exception) -> PipelineError:
    cause = " ".join(str(problem).split()) or type(problem).__name__
    return PipelineError(f"Kubeflow Pipelines at {host} does not answer: {cause}.", "Check pipeline.host.")


def _refusal(host: str, problem: Any) -> PipelineError:
    try:
        said = json.loads(problem.body).get("message") or json.loads(problem.body).get("error")
    except (TypeError, ValueError):
        said = problem.reason
    return PipelineError(f"Kubeflow Pipelines at {host} refuses ({problem.status}): {str(said)[:500]}.")
