"""The deploy step against a real local HTTP server and a stand-in for the cluster: success, and every way to fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from liverank.config import DeploymentConfig, RegistryConfig
from liverank.deployment import deploy
from liverank.deployment.cluster import Cluster
from liverank.deployment.kserve import deploy_kserve
from liverank.deployment.local import deploy_local
from liverank.errors import ServingError
from tests.infra.fake_cluster import DEPLOYMENT, FakeCluster, kubeconfig, serve

OLD, NEW = "s3://models/1/bundle", "s3://models/2/bundle"
CONFIG = DeploymentConfig(target="kserve", timeout_seconds=1, poll_seconds=0.01)


@pytest.fixture
def fake():
    return FakeCluster(OLD)


@pytest.fixture
def cluster(fake, tmp_path, monkeypatch):
    server = serve(fake)
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, server.server_port)))
    yield Cluster.connect(CONFIG)
    server.shutdown()
    server.server_close()


def test_the_service_is_merge_patched_and_every_new_pod_awaited(fake, cluster):
    facts = deploy_kserve(cluster, NEW, "2")
    assert facts["state"] == "serving"
    assert facts["url"] == "http://liverank.example"
    ((kind, body),) = fake.patches
    assert kind == "application/merge-patch+json"
    assert body["spec"] == {"predictor": {"model": {"storageUri": NEW}}}
    assert fake.service["metadata"]["annotations"] == {"liverank/model-version": "2"}
    assert fake.service["spec"]["predictor"]["minReplicas"] == 1
    assert fake.deployment["status"]["updatedReplicas"] == 2


def test_what_serves_already_is_left_alone(fake, cluster):
    assert deploy_kserve(cluster, OLD, "1")["state"] == "serving"
    assert fake.patches == []


def test_without_a_deployment_the_conditions_decide(fake, cluster):
    fake.deployment = None
    assert deploy_kserve(cluster, NEW, "2")["state"] == "serving"


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            {
                "modelStatus": {
                    "transitionStatus": "BlockedByFailedLoad",
                    "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "403 on s3://models"},
                }
            },
            r"cannot serve .*BlockedByFailedLoad \(ModelLoadFailed\): 403 on s3://models",
        ),
        (
            {"conditions": [{"type": "Ready", "status": "False", "reason": "Why", "message": "no runtime"}]},
            r"after 1 s: not ready: Ready \(Why: no runtime\)",
        ),
        ({"observedGeneration": 1}, "the controller has not seen the change"),
    ],
)
def test_a_failed_rollout_says_why_and_sets_the_former_storage_again(fake, cluster, failure, said):
    fake.failure = failure
    with pytest.raises(ServingError, match=said) as problem:
        deploy_kserve(cluster, NEW, "2")
    assert "The former version serves on." in problem.value.message
    assert fake.service["spec"]["predictor"]["model"]["storageUri"] == OLD
    assert fake.service["metadata"]["annotations"] == {"liverank/model-version": "1"}


def test_ready_of_the_old_pods_is_not_taken_for_the_new_ones(fake, cluster):
    fake.stuck = True
    with pytest.raises(ServingError, match=r"after 1 s: 0 of 2 pods are new, 2 available"):
        deploy_kserve(cluster, NEW, "2")


def test_a_stopped_rollout_is_said(fake, cluster):
    fake.stuck = True
    fake.deployment["status"]["conditions"] = [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}
    ]
    fake._roll = lambda uri, done: None
    with pytest.raises(ServingError, match=r"the rollout has stopped \(ProgressDeadlineExceeded: too slow\)"):
        deploy_kserve(cluster, NEW, "2")


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (500, 'Internal error: failed calling webhook "x": connection refused', "webhook does not answer"),
        (400, "admission webhook denied the request: minReplicas > maxReplicas", r"refuses .*\(400\).*minReplicas"),
        (403, "inferenceservices is forbidden", "forbids to touch InferenceService liverank/liverank"),
    ],
)
def test_a_refused_change_leaves_everything(fake, cluster, status, message, said):
    fake.refusal = (status, message)
    with pytest.raises(ServingError, match=said):
        deploy_kserve(cluster, NEW, "2")
    assert fake.service["spec"]["predictor"]["model"]["storageUri"] == OLD


def test_no_service_names_what_to_apply(fake, cluster):
    fake.service = None
    with pytest.raises(ServingError, match=r"InferenceService liverank/liverank is not there .*Apply infra/overlays"):
        deploy_kserve(cluster, NEW, "2")


def test_a_dead_cluster_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, 9)))
    with pytest.raises(ServingError, match=r"The cluster does not answer: .*refused"):
        deploy_kserve(Cluster.connect(CONFIG), NEW, "2")


def test_no_cluster_at_all_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ServingError, match="No Kubernetes cluster is configured"):
        Cluster.connect(CONFIG)


def test_files_of_one_machine_are_not_given_to_pods(monkeypatch, tmp_path):
    monkeypatch.setattr("liverank.registry.physical_uri", lambda registry, version: "file:///models/1")
    with pytest.raises(ServingError, match="no pod can fetch"):
        deploy(CONFIG, RegistryConfig(), tmp_path, "1")


LOCAL = DeploymentConfig(timeout_seconds=5)


@pytest.fixture
def model_server():
    """A local server that answers a load call with what the test puts into `answer`."""

    class Handler(BaseHTTPRequestHandler):
        answer = (200, {"name": "liverank", "version": "2", "state": "READY"})
        seen: list = []  # noqa: RUF012

        def do_POST(self):
            Handler.seen.append((self.path, self.headers.get("Authorization")))
            status, body = Handler.answer
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    Handler.url = f"http://127.0.0.1:{server.server_port}"
    yield Handler
    server.shutdown()
    server.server_close()


def _announce(workspace, url, pid=None):
    said = {"url": url, "grpc": "", "pid": pid or os.getpid(), "version": "1"}
    (workspace / "server.json").write_text(json.dumps(said))


def test_a_running_local_server_swaps(model_server, tmp_path, monkeypatch):
    monkeypatch.setenv("LIVERANK_TOKEN", "sesame")
    _announce(tmp_path, model_server.url)
    facts = deploy_local(LOCAL, "liverank", tmp_path, "2")
    assert facts == {"target": "local", "version": "2", "state": "serving", "url": model_server.url}
    assert model_server.seen == [("/v2/repository/models/liverank/load", "Bearer sesame")]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, {"error": "the bundle is damaged"}), r"did not load version 2 \(503\): the bundle is damaged. .*1 on"),
        ((200, {"version": "3"}), "serves version 3, not 2"),
    ],
)
def test_a_local_server_that_does_not_take_it_is_said(model_server, tmp_path, answer, said):
    model_server.answer = answer
    _announce(tmp_path, model_server.url)
    with pytest.raises(ServingError, match=said):
        deploy_local(LOCAL, "liverank", tmp_path, "2")


def test_without_a_server_the_next_one_will_start_on_it(tmp_path):
    assert deploy_local(LOCAL, "liverank", tmp_path, "2")["state"] == "waits for a server"
    (tmp_path / "server.json").write_text('{"url": "http')
    assert deploy_local(LOCAL, "liverank", tmp_path, "2")["state"] == "waits for a server"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    _announce(tmp_path, "http://127.0.0.1:9", gone.pid)
    assert deploy_local(LOCAL, "liverank", tmp_path, "2")["state"] == "waits for a server"


def test_a_server_that_lives_but_does_not_answer_is_an_error(tmp_path):
    _announce(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(ServingError, match="does not answer"):
        deploy_local(LOCAL, "liverank", tmp_path, "2")


def test_no_target_is_no_deployment(tmp_path):
    facts = deploy(DeploymentConfig(target="none"), RegistryConfig(), tmp_path, "2")
    assert facts["state"] == "not deployed"


def test_the_stand_in_has_the_name_that_kserve_gives(fake):
    assert DEPLOYMENT.endswith(f"/{fake.deployment['metadata']['name']}")
