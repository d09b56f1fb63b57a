"""The manifests render, follow their schemas, and say what the server and the deploy step expect."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import yaml

from liverank.config import Config, DeploymentConfig
from liverank.config.store_place import VARIABLE
from serving.access import EVENTS, scope_of
from serving.collector import PATH
from tests.conftest import ROOT

INFRA = ROOT / "infra"
OVERLAYS = ["local-cluster", "gpu", "redis"]


def schemas() -> Path:
    folder = Path(os.environ.get("LIVERANK_SCHEMAS") or ROOT.parent / "shared" / "crd-schemas")
    if not folder.is_dir():
        pytest.skip("the schemas of the custom resources are not at hand: set LIVERANK_SCHEMAS (beside LIVERANK_DATA)")
    return folder


def render(overlay: str) -> list[dict]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    command = ["kubectl", "kustomize", str(INFRA / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request):
    return request.param, render(request.param)


def find(objects: list[dict], kind: str) -> dict:
    (found,) = [one for one in objects if one["kind"] == kind]
    return found


def test_every_overlay_is_tested():
    assert sorted(path.name for path in (INFRA / "overlays").iterdir()) == sorted(OVERLAYS)


def test_core_objects_follow_their_schemas(overlay):
    core = [one for one in overlay[1] if not one["apiVersion"].startswith("serving.kserve.io/")]
    assert {one["kind"] for one in core} >= {"Namespace", "ServiceAccount", "Role", "RoleBinding", "ConfigMap"}
    for one in core:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


def test_custom_objects_follow_their_schemas(overlay):
    folder = schemas()
    custom = [one for one in overlay[1] if one["apiVersion"].startswith("serving.kserve.io/")]
    assert {one["kind"] for one in custom} == {"ServingRuntime", "InferenceService"}
    for one in custom:
        group, version = one["apiVersion"].split("/")
        schema = json.loads((folder / group / f"{one['kind'].lower()}_{version}.json").read_text())
        jsonschema.validate(one, schema)


def test_a_misspelt_key_would_be_found(overlay):
    folder = schemas()
    service = find(overlay[1], "InferenceService")
    service = {**service, "spec": {"predictor": {**service["spec"]["predictor"], "minReplica": 1}}}
    schema = json.loads((folder / "serving.kserve.io" / "inferenceservice_v1beta1.json").read_text())
    with pytest.raises(jsonschema.ValidationError, match="minReplica"):
        jsonschema.validate(service, schema)


def test_the_documented_logger_follows_the_schema():
    page = (ROOT / "docs" / "streams.md").read_text(encoding="utf-8")
    (text,) = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "InferenceService" in block]
    service = yaml.safe_load(text)
    url = urlsplit(service["spec"]["predictor"]["logger"]["url"])
    assert (url.path, scope_of("POST", url.path)) == (PATH, EVENTS)
    schema = json.loads((schemas() / "serving.kserve.io" / "inferenceservice_v1beta1.json").read_text())
    jsonschema.validate(service, schema)
    service["spec"]["predictor"]["logger"]["headers"] = {}
    with pytest.raises(jsonschema.ValidationError, match="headers"):
        jsonschema.validate(service, schema)


def test_the_configuration_in_the_config_map_is_valid(overlay):
    text = find(overlay[1], "ConfigMap")["data"]["liverank.yaml"]
    config = Config.model_validate(yaml.safe_load(text))
    assert config.serving.host == "0.0.0.0"
    mounts = [one["mountPath"] for one in container(overlay[1])["volumeMounts"] if not one.get("readOnly")]
    for path in filter(None, (config.serving.store, config.workspace)):
        assert any(Path(path).is_relative_to(mount) for mount in mounts)


def test_several_replicas_share_a_redis_and_one_has_a_file(overlay):
    name, objects = overlay
    predictor = find(objects, "InferenceService")["spec"]["predictor"]
    text = find(objects, "ConfigMap")["data"]["liverank.yaml"]
    secrets = {one["name"]: one["valueFrom"]["secretKeyRef"]["name"] for one in container(objects)["env"]}
    volumes = {one["name"] for one in find(objects, "ServingRuntime")["spec"]["volumes"]}
    assert {one["name"] for one in container(objects)["volumeMounts"]} == volumes
    shared = name == "redis"
    assert (predictor["minReplicas"] > 1) is shared
    assert ("affinity" not in predictor) is shared
    assert (secrets.get(VARIABLE) == "liverank-store") is shared
    assert ("live" not in volumes) is shared
    assert (Config.model_validate(yaml.safe_load(text)).serving.store == "") is shared
    assert ("PersistentVolumeClaim" not in {one["kind"] for one in objects}) is shared


def container(objects: list[dict]) -> dict:
    (found,) = find(objects, "ServingRuntime")["spec"]["containers"]
    return found


def test_the_server_understands_its_arguments(overlay, monkeypatch):
    import sys

    from serving.__main__ import _options

    arguments = [one.replace("{{.Name}}", "liverank") for one in container(overlay[1])["args"]]
    monkeypatch.setattr(sys, "argv", ["serving", *arguments])
    options = _options()
    assert (options.bundle, options.model_name) == (Path("/mnt/models"), "liverank")
    assert {one["containerPort"] for one in container(overlay[1])["ports"]} == {options.http_port}


def test_probes_ask_the_honest_path_and_a_stop_waits(overlay):
    one = container(overlay[1])
    for probe in ("startupProbe", "readinessProbe"):
        assert one[probe]["httpGet"]["path"] == "/v2/models/{{.Name}}/ready"
    assert one["lifecycle"]["preStop"]["exec"]["command"][0] == "sleep"


def test_pods_have_few_rights_and_write_only_where_a_volume_is(overlay):
    rights = container(overlay[1])["securityContext"]
    assert rights["runAsNonRoot"]
    assert rights["readOnlyRootFilesystem"]
    assert not rights["allowPrivilegeEscalation"]
    assert "runAsUser" not in rights


def test_the_deploy_step_may_do_what_it_does_and_its_defaults_name_these_objects(overlay):
    service, defaults = find(overlay[1], "InferenceService"), DeploymentConfig()
    assert (service["metadata"]["namespace"], service["metadata"]["name"]) == (defaults.namespace, defaults.service)
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    rules = {rule["resources"][0]: rule for rule in find(overlay[1], "Role")["rules"]}
    assert rules["inferenceservices"]["verbs"] == ["get", "patch"]
    assert rules["inferenceservices"]["resourceNames"] == [defaults.service]
    assert rules["deployments"]["resourceNames"] == [f"{defaults.service}-predictor"]


def test_applying_again_does_not_undo_a_deployment(overlay):
    predictor = find(overlay[1], "InferenceService")["spec"]["predictor"]
    assert "storageUri" not in predictor["model"]
    assert predictor["deploymentStrategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_a_small_node_can_hold_it_and_only_the_gpu_overlay_asks_for_a_gpu(overlay):
    name, objects = overlay
    resources = container(objects)["resources"]
    assert ("nvidia.com/gpu" in resources["limits"]) is (name == "gpu")
    if name == "local-cluster":
        assert resources["requests"] == {"cpu": "100m", "memory": "256Mi"}


def test_images_have_fixed_versions(overlay):
    image = container(overlay[1])["image"]
    assert ":" in image.rsplit("/", 1)[1]
    assert not image.endswith(":latest")
