"""A small stand-in for a Kubernetes API with KServe's controller: one InferenceService and its Deployment."""

from __future__ import annotations

import json
import threading
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

SERVICE = "/apis/serving.kserve.io/v1beta1/namespaces/liverank/inferenceservices/liverank"
DEPLOYMENT = "/apis/apps/v1/namespaces/liverank/deployments/liverank-predictor"
READY = [{"type": "PredictorReady", "status": "True"}, {"type": "Ready", "status": "True"}]


class FakeCluster:
    """After a patch, each look at the Deployment brings its rollout one step further."""

    def __init__(self, uri: str) -> None:
        self.service: dict[str, Any] | None = {
            "metadata": {"name": "liverank", "generation": 1, "annotations": {"liverank/model-version": "1"}},
            "spec": {"predictor": {"minReplicas": 1, "model": {"runtime": "liverank", "storageUri": uri}}},
            "status": {"observedGeneration": 1, "conditions": READY, "url": "http://liverank.example"},
        }
        self.deployment: dict[str, Any] | None = None
        self.patches: list[tuple[str, dict[str, Any]]] = []
        self.refusal: tuple[int, str] | None = None
        self.failure: dict[str, Any] = {}
        """Merged into the service's status after a patch."""
        self.stuck = False
        self._roll(uri, done=True)

    def answer(self, method: str, path: str, kind: str, body: Any) -> tuple[int, Any]:
        if method == "PATCH" and self.refusal:
            status, message = self.refusal
            return status, _status(status, message)
        found = {SERVICE: self.service, DEPLOYMENT: self.deployment}.get(path)
        if found is None:
            return 404, _status(404, f"{path} not found")
        if method == "PATCH":
            self._patch(kind, body)
        elif path == DEPLOYMENT and not self.stuck:
            self._advance()
        return 200, deepcopy(found)

    def _patch(self, kind: str, body: dict[str, Any]) -> None:
        assert self.service is not None
        self.patches.append((kind, body))
        self.service["metadata"]["generation"] += 1
        self.service["metadata"]["annotations"] |= body["metadata"]["annotations"]
        uri = body["spec"]["predictor"]["model"]["storageUri"]
        self.service["spec"]["predictor"]["model"]["storageUri"] = uri
        self.service["status"] |= {"observedGeneration": self.service["metadata"]["generation"], **self.failure}
        if self.deployment:
            self._roll(uri, done=False)

    def _roll(self, uri: str, *, done: bool) -> None:
        self.deployment = {
            "metadata": {"name": "liverank-predictor", "generation": 1},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "liverank"}},
                "template": {
                    "metadata": {"annotations": {"internal.serving.kserve.io/storage-initializer-sourceuri": uri}},
                    "spec": {"containers": [{"name": "kserve-container", "image": "i"}]},
                },
            },
            "status": {
                "observedGeneration": 1,
                "replicas": 2,
                "updatedReplicas": 2 if done else 0,
                "availableReplicas": 2,
            },
        }

    def _advance(self) -> None:
        assert self.deployment is not None
        status = self.deployment["status"]
        status["updatedReplicas"] = min(status["updatedReplicas"] + 1, 2)


def _status(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "message": message, "code": code}


def serve(fake: FakeCluster) -> ThreadingHTTPServer:
    """Starts answering on a free port; the caller shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type", "")
            status, answer = fake.answer(self.command, self.path, kind, json.loads(body) if body else None)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PATCH = _do

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def kubeconfig(folder: Path, port: int) -> Path:
    """A kubeconfig that names the stand-in."""
    path = folder / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )
    return path
