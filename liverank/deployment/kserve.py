"""Deployment to KServe: point the InferenceService at a version's files, wait until every replica serves them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from liverank.deployment.cluster import VERSION_ANNOTATION, Cluster
from liverank.errors import ServingError
from liverank.progress import note, stage

FAILED = ("BlockedByFailedLoad", "InvalidSpec")
"""Values of `status.modelStatus.transitionStatus` that no waiting mends."""


def deploy_kserve(cluster: Cluster, uri: str, version: str) -> dict[str, str]:
    """Points the InferenceService at `uri` and waits until every replica serves it.

    When it fails or takes too long the former storage is set again, so that a restarted pod starts on what works.
    """
    former = cluster.service()
    before = former["spec"].get("predictor", {}).get("model", {}).get("storageUri")
    facts = {"target": "kserve", "version": version, "state": "serving", "uri": uri, "service": cluster.name}
    if before == uri and not _missing(former, former, cluster.deployment(), uri):
        note(f"{cluster.name} serves version {version} already")
        return facts
    patched = cluster.patch(uri, version)
    try:
        with stage(f"rollout of version {version}"):
            _wait(cluster, patched, uri)
    except ServingError as problem:
        if before and before != uri:
            old = former["metadata"].get("annotations", {}).get(VERSION_ANNOTATION, "")
            with suppress(ServingError):
                cluster.patch(before, old)
        raise ServingError(f"{problem} The former version serves on.") from problem
    note(f"{cluster.name} serves version {version}")
    return facts | {"url": str(cluster.service().get("status", {}).get("url", ""))}


def _wait(cluster: Cluster, patched: dict[str, Any], uri: str) -> None:
    until = cluster.clock() + cluster.config.timeout_seconds
    while missing := _missing(service := cluster.service(), patched, cluster.deployment(), uri):
        model = service.get("status", {}).get("modelStatus", {})
        if _current(service, patched) and model.get("transitionStatus") in FAILED:
            failure = model.get("lastFailureInfo", {})
            raise ServingError(
                f"{cluster.name} cannot serve {uri}: {model['transitionStatus']}"
                f" ({failure.get('reason', 'no reason')}): {failure.get('message', 'no message')}."
            )
        if cluster.clock() >= until:
            raise ServingError(
                f"{cluster.name} does not serve {uri} after {cluster.config.timeout_seconds:g} s: {missing}."
            )
        cluster.sleep(cluster.config.poll_seconds)


def _missing(service: dict[str, Any], patched: dict[str, Any], deployment: Any, uri: str) -> str:
    """What is still missing until `uri` serves everywhere; empty when nothing is."""
    if not _current(service, patched):
        return "the controller has not seen the change"
    conditions = service.get("status", {}).get("conditions", [])
    if not any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
        unmet = [
            f"{one['type']} ({one.get('reason', '')}: {one.get('message', '')})"
            for one in conditions
            if one["status"] != "True"
        ]
        return "not ready: " + ("; ".join(unmet) or "no condition is reported")
    # Ready also while the old pods still answer: only the Deployment knows how far the new ones are.
    return _rollout(deployment, uri) if deployment is not None else ""


def _current(service: dict[str, Any], patched: dict[str, Any]) -> bool:
    seen = service.get("status", {}).get("observedGeneration", 0)
    return bool(seen >= patched["metadata"].get("generation", 0))


def _rollout(deployment: Any, uri: str) -> str:
    status, wanted = deployment.status, deployment.spec.replicas or 0
    for condition in status.conditions or []:
        if condition.type == "Progressing" and condition.status == "False":
            return f"the rollout has stopped ({condition.reason}: {condition.message})"
    if uri not in str(deployment.spec.template) or (status.observed_generation or 0) < deployment.metadata.generation:
        return "the new pods are not made yet"
    updated, available = status.updated_replicas or 0, status.available_replicas or 0
    if updated < wanted or available < wanted or (status.replicas or 0) > updated:
        return f"{updated} of {wanted} pods are new, {available} available"
    return ""
