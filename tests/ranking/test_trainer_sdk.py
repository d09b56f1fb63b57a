"""TrainJobs through the real Kubeflow SDK, against a small stand-in for a cluster; the job follows its schema."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from liverank.errors import TrainingError
from liverank.ranking.trainer_sdk import SdkJobs
from liverank.ranking.trainjob import ABSENT, Job
from tests.conftest import ROOT

kubeflow = pytest.importorskip("kubeflow.trainer", reason="the Kubeflow SDK is not installed: pip install .[trainer]")

GROUP = "/apis/trainer.kubeflow.org/v1alpha1"
JOBS = f"{GROUP}/namespaces/team/trainjobs"
RUNTIME = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "ClusterTrainingRuntime",
    "metadata": {"name": "torch-distributed", "labels": {"trainer.kubeflow.org/framework": "torch"}},
    "spec": {
        "mlPolicy": {"numNodes": 1, "torch": {"numProcPerNode": "auto"}},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": "node",
                        "template": {
                            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
                            "spec": {"template": {"spec": {"containers": [{"name": "node", "image": "torch"}]}}},
                        },
                    }
                ]
            }
        },
    },
}
POD = {
    "metadata": {
        "name": "a-job-node-0-0-abcde",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"jobset.sigs.k8s.io/replicatedjob-name": "node", "batch.kubernetes.io/job-completion-index": "0"},
    },
    "spec": {"containers": [{"name": "node", "image": "torch", "env": []}]},
    "status": {"phase": "Running"},
}
JOB = Job(
    name="liverank-train-0123456789ab",
    runtime="torch-distributed",
    image="an-image",
    nodes=2,
    resources={"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "2"},
    arguments=("--nproc-per-node=2", "-m", "liverank.ranking.launch", '--config={"seed": 7}'),
    env={"HF_HUB_OFFLINE": "1"},
    volumes={"work": "/work"},
    service_account="trainer",
    deadline_seconds=3600,
)


class Cluster:
    """The jobs that were made, by name, and what the API refuses."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.refusal: tuple[int, str] | None = None

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if self.refusal and path.startswith(JOBS):
            return self.refusal[0], {"kind": "Status", "message": self.refusal[1], "code": self.refusal[0]}
        if path == f"{GROUP}/clustertrainingruntimes/torch-distributed":
            return 200, RUNTIME
        if path == "/api/v1/namespaces/team/pods":
            return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [POD] if self.jobs else []}
        if path.endswith("/log"):
            return 200, "first line\nsecond line\n"
        if path == JOBS and method == "POST":
            return self._make(body)
        return self._one(method, path.removeprefix(f"{JOBS}/"))

    def _make(self, body: Any) -> tuple[int, Any]:
        name = body["metadata"]["name"]
        if name in self.jobs:
            return 409, {"kind": "Status", "reason": "AlreadyExists", "message": f"{name} already exists", "code": 409}
        made = {"namespace": "team", "creationTimestamp": "2026-01-01T00:00:00Z", **body["metadata"]}
        self.jobs[name] = {**body, "metadata": made}
        return 201, self.jobs[name]

    def _one(self, method: str, name: str) -> tuple[int, Any]:
        if name not in self.jobs:
            return 404, {"kind": "Status", "reason": "NotFound", "message": f"{name} not found", "code": 404}
        return 200, self.jobs.pop(name) if method == "DELETE" else self.jobs[name]

    def end(self, name: str, how: str) -> None:
        condition = {
            "type": how,
            "status": "True",
            "reason": how,
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        self.jobs[name]["status"] = {"conditions": [condition]}


@pytest.fixture
def cluster():
    cluster = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = cluster.answer(self.command, self.path.split("?")[0], json.loads(body) if body else None)
            text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = _do

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    cluster.port = server.server_port
    yield cluster
    server.shutdown()
    server.server_close()


@pytest.fixture
def jobs(cluster) -> SdkJobs:
    from kubeflow.trainer import KubernetesBackendConfig, TrainerClient
    from kubernetes import client

    settings = client.Configuration(host=f"http://127.0.0.1:{cluster.port}")
    return SdkJobs(client=TrainerClient(KubernetesBackendConfig(namespace="team", client_configuration=settings)))


def test_a_job_is_made_once(cluster, jobs):
    assert jobs.status(JOB.name) == ABSENT
    assert jobs.create(JOB)
    assert not jobs.create(JOB)
    assert jobs.status(JOB.name) == "Created"
    cluster.end(JOB.name, "Complete")
    assert jobs.status(JOB.name) == "Complete"
    jobs.delete(JOB.name)
    assert jobs.status(JOB.name) == ABSENT


def test_a_failed_job_is_failed_and_its_log_is_read(cluster, jobs):
    jobs.create(JOB)
    assert list(jobs.logs(JOB.name)) == ["first line", "second line"]
    cluster.end(JOB.name, "Failed")
    assert jobs.status(JOB.name) == "Failed"


def test_the_job_follows_its_schema_and_says_what_was_asked(cluster, jobs):
    folder = Path(os.environ.get("LIVERANK_SCHEMAS") or ROOT.parent / "shared" / "crd-schemas")
    jobs.create(JOB)
    made = cluster.jobs[JOB.name]
    if folder.is_dir():
        schema = json.loads((folder / "trainer.kubeflow.org" / "trainjob_v1alpha1.json").read_text())
        jsonschema.validate(made, schema)
        made["spec"]["trainer"]["node"] = 2
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(made, schema)
    trainer = made["spec"]["trainer"]
    assert made["spec"]["runtimeRef"] == {"name": "torch-distributed", "kind": "ClusterTrainingRuntime"} | {
        key: value for key, value in made["spec"]["runtimeRef"].items() if key == "apiGroup"
    }
    assert trainer["command"] == ["torchrun"]
    assert tuple(trainer["args"]) == JOB.arguments
    assert trainer["numNodes"] == 2
    assert trainer["resourcesPerNode"]["limits"] == JOB.resources
    assert trainer["env"] == [{"name": "HF_HUB_OFFLINE", "value": "1"}]
    assert made["spec"]["activeDeadlineSeconds"] == 3600
    (patch,) = made["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = node["template"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "trainer"
    assert pod["volumes"] == [{"name": "work", "persistentVolumeClaim": {"claimName": "work"}}]
    assert pod["containers"] == [{"name": "node", "volumeMounts": [{"name": "work", "mountPath": "/work"}]}]


def test_a_refusal_is_one_sentence(cluster, jobs):
    cluster.refusal = (403, "trainjobs is forbidden")
    with pytest.raises(TrainingError, match=r"Cannot see TrainJob .*forbidden"):
        jobs.status(JOB.name)
    with pytest.raises(TrainingError, match=r"Cannot start TrainJob .*forbidden"):
        jobs.create(JOB)
