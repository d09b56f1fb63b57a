"""Deployment to the model server of a workspace on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from liverank.config.deployment import DeploymentConfig
from liverank.errors import ServingError
from liverank.progress import note, stage


def deploy_local(config: DeploymentConfig, model: str, workspace: Path, version: str) -> dict[str, str]:
    """Has the workspace's model server load the champion, and checks that it is `version`."""
    server = _announced(workspace)
    if server is None:
        note(f"no model server runs in {workspace}; 'liverank serve' will start on version {version}")
        return {"target": "local", "version": version, "state": "waits for a server"}
    import httpx

    token = os.environ.get(config.token_variable)
    try:
        with stage(f"swap to version {version}"):
            answer = httpx.post(
                f"{server['url']}/v2/repository/models/{model}/load",
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=config.timeout_seconds,
            )
    except httpx.HTTPError as problem:
        raise ServingError(
            f"The model server at {server['url']} does not answer: {problem or type(problem).__name__}.",
            "Restart it with 'liverank serve'; it will start on the new version.",
        ) from problem
    if answer.status_code != 200:
        raise ServingError(
            f"The model server at {server['url']} did not load version {version} ({answer.status_code}): "
            f"{_said(answer)}. It serves version {server.get('version')} on."
        )
    serving = str(answer.json().get("version"))
    if serving != version:
        raise ServingError(f"The model server at {server['url']} serves version {serving}, not {version}.")
    note(f"version {version} serves at {server['url']}")
    return {"target": "local", "version": version, "state": "serving", "url": server["url"]}


def _announced(workspace: Path) -> dict[str, Any] | None:
    try:
        server = dict(json.loads((workspace / "server.json").read_text(encoding="utf-8")))
        os.kill(int(server["pid"]), 0)
    except (FileNotFoundError, ValueError, KeyError, ProcessLookupError):
        # None, half a file of a killed server, or one whose process has gone.
        return None
    except PermissionError:
        # Another user's process: there, and that is all that is asked.
        return server
    return server


def _said(answer: Any) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return str(answer.text)[:300]
