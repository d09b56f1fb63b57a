"""A small stand-in for the Kubeflow Pipelines API, v2beta1: what the client uses of it, in memory, over real HTTP."""

from __future__ import annotations

import json
import re
import threading
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

KINDS = {
    "experiments": "experiment_id",
    "runs": "run_id",
    "recurringruns": "recurring_run_id",
    "pipelines": "pipeline_id",
}
LISTS = {"recurringruns": "recurringRuns"}


class FakeKubeflow:
    """Keeps what it is sent; `fail` makes the next matching request answer with a status."""

    def __init__(self) -> None:
        self.kept: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.versions: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []
        self.fail: dict[str, int] = {}
        self.count = 0

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes, kind: str) -> tuple[int, Any]:
        for pattern, status in self.fail.items():
            if re.search(pattern, f"{method} {path}"):
                return status, {"error": "refused", "message": f"{method} {path} is refused", "code": 3}
        parts = path.removeprefix("/apis/v2beta1/").split("/")
        if parts == ["healthz"]:
            return 200, {"multi_user": False}
        if parts[0] == "pipelines" and len(parts) > 1:
            return self._pipelines(method, parts[1:], query, body, kind)
        if method == "POST":
            return 200, self._keep(parts[0], json.loads(body))
        if method == "DELETE":
            self.kept[parts[0]] = [one for one in self.kept[parts[0]] if one[KINDS[parts[0]]] != parts[1]]
            return 200, {}
        return 200, {LISTS.get(parts[0], parts[0]): _filtered(self.kept[parts[0]], query)}

    def _keep(self, kind: str, record: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        record |= {KINDS[kind]: f"{kind}-{self.count}"}
        if kind == "runs":
            record["state"] = "PENDING"
        self.kept[kind].append(record)
        return record

    def _pipelines(self, method: str, parts: list[str], query: Any, body: bytes, kind: str) -> tuple[int, Any]:
        if parts[0] in ("upload", "upload_version"):
            form = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
            file = next(part for part in form.get_payload() if part.get_filename())
            spec = list(yaml.safe_load_all(file.get_payload(decode=True)))
            name = query["name"][0]
            known = self.kept["pipelines"] if parts[0] == "upload" else self.versions
            if any(one["display_name"] == name for one in known):
                return 409, {"message": "already exists"}
            if parts[0] == "upload":
                return 200, self._keep("pipelines", {"display_name": name})
            self.count += 1
            version = {
                "pipeline_id": query["pipelineid"][0],
                "pipeline_version_id": f"version-{self.count}",
                "display_name": name,
            }
            self.versions.append({**version, "spec": spec})
            return 200, version
        found = [
            {k: v for k, v in one.items() if k != "spec"} for one in self.versions if one["pipeline_id"] == parts[0]
        ]
        return 200, {"pipeline_versions": _filtered(found, query)}


def _filtered(records: list[dict[str, Any]], query: dict[str, list[str]]) -> list[dict[str, Any]]:
    if "experiment_id" in query:
        records = [one for one in records if one["experiment_id"] == query["experiment_id"][0]]
    for test in json.loads(query["filter"][0])["predicates"] if "filter" in query else []:
        same = {"EQUALS": True, 1: True, "NOT_EQUALS": False, 2: False}[test["operation"]]
        records = [one for one in records if (one.get(test["key"]) == test["stringValue"]) is same]
    return records


def serve(fake: FakeKubeflow) -> ThreadingHTTPServer:
    """Starts answering on a free port; the caller shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.tokens.append(self.headers.get("Authorization"))
            kind = self.headers.get("Content-Type", "")
            status, answer = fake.answer(self.command, address.path, parse_qs(address.query), body, kind)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = _do

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server
