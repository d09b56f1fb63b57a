"""What a deployment needs of a Kubernetes cluster: two APIs, each call with one clear error."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from liverank.config.deployment import DeploymentConfig
from liverank.errors import ServingError

GROUP, API_VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
VERSION_ANNOTATION = "liverank/model-version"
REQUEST_SECONDS = 15.0


@dataclass(frozen=True)
class Cluster:
    """The cluster's two APIs that a deployment needs, and the clock it waits by."""

    config: DeploymentConfig
    objects: Any
    """kubernetes.client.CustomObjectsApi"""
    apps: Any
    """kubernetes.client.AppsV1Api"""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def connect(cls, config: DeploymentConfig) -> Cluster:
        """The cluster that this pod runs in, or that the kubeconfig names.

        Raises:
            ServingError: neither is there.
        """
        from kubernetes import client
        from kubernetes import config as places

        settings = client.Configuration()
        try:
            places.load_incluster_config(client_configuration=settings)
        except places.ConfigException:
            try:
                places.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=settings)
            except places.ConfigException as problem:
                raise ServingError(
                    f"No Kubernetes cluster is configured: {problem}.", "Set KUBECONFIG, or run in a pod."
                ) from problem
        settings.retries = False
        api = client.ApiClient(settings)
        return cls(config, client.CustomObjectsApi(api), client.AppsV1Api(api))

    @property
    def name(self) -> str:
        """How messages call the service."""
        return f"InferenceService {self.config.namespace}/{self.config.service}"

    def service(self) -> dict[str, Any]:
        """The InferenceService as it is now."""
        return dict(self._call(self.objects.get_namespaced_custom_object, *self._address))

    def patch(self, uri: str, version: str) -> dict[str, Any]:
        """Sets the model's storage; only what is named here changes."""
        body = {
            "metadata": {"annotations": {VERSION_ANNOTATION: version}},
            "spec": {"predictor": {"model": {"storageUri": uri}}},
        }
        return dict(self._call(self.objects.patch_namespaced_custom_object, *self._address, body))

    def deployment(self) -> Any:
        """The predictor's Deployment; None where KServe makes none (Knative mode)."""
        from kubernetes.client import ApiException

        try:
            return self._call(
                self.apps.read_namespaced_deployment, f"{self.config.service}-predictor", self.config.namespace
            )
        except ServingError as problem:
            if isinstance(problem.__cause__, ApiException) and problem.__cause__.status == 404:
                return None
            raise

    @property
    def _address(self) -> tuple[str, str, str, str, str]:
        return GROUP, API_VERSION, self.config.namespace, PLURAL, self.config.service

    def _call(self, method: Any, *arguments: Any) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return method(*arguments, _request_timeout=REQUEST_SECONDS)
        except ApiException as problem:
            raise ServingError(*_refusal(self.name, problem)) from problem
        except HTTPError as problem:
            raise ServingError(
                f"The cluster does not answer: {problem}.", "Check KUBECONFIG and the network."
            ) from problem


def _refusal(name: str, problem: Any) -> tuple[str, str]:
    try:
        said = str(json.loads(problem.body)["message"])
    except (TypeError, ValueError, KeyError):
        said = str(problem.reason)
    if "failed calling webhook" in said:
        return (
            f"KServe's admission webhook does not answer, so {name} cannot be changed: {said}.",
            "Check that KServe's controller runs; what serves now goes on.",
        )
    if problem.status == 404:
        return f"{name} is not there ({said}).", "Apply infra/overlays first."
    if problem.status in (401, 403):
        return f"The cluster forbids to touch {name}: {said}.", "Give the service account the role in infra/base."
    return f"The cluster refuses the change of {name} ({problem.status}): {said}.", "Nothing was changed."
