"""How the client commands reach the model server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liverank.errors import ServingError
from liverank.exposition import Scrape, read_exposition

if TYPE_CHECKING:
    from liverank.config import Config

ServerUrl = Annotated[str, typer.Option("--url", help="Server (default: the one that <workspace>/server.json names).")]
TIMEOUT_SECONDS = 60.0
START = "Start one with `liverank serve`, or name it with --url."


def call(config: Config, url: str, method: str, path: str, body: bytes | None = None) -> Any:
    """The server's JSON answer; the bearer token comes from the environment variable that the configuration names.

    Raises:
        ServingError: no server answers, or it refuses; the message is the server's own.
    """
    base, response = _response(config, url, method, path, body)
    try:
        return response.json()
    except ValueError as problem:
        raise ServingError(f"What answers at {base} is no liverank server.", START) from problem


def metrics(config: Config, url: str) -> tuple[str, Scrape]:
    """A server's URL and its metrics.

    Raises:
        ServingError: as `call`.
    """
    base, response = _response(config, url, "GET", "/metrics", None)
    return base, read_exposition(response.text)


def _response(config: Config, url: str, method: str, path: str, body: bytes | None) -> tuple[str, Any]:
    import httpx

    base = (url or announced(config.workspace_path)).rstrip("/")
    token = os.environ.get(config.serving.token_variable, "")
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    try:
        response = httpx.request(method, base + path, content=body, headers=headers, timeout=TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise ServingError(f"No model server answers at {base}: {problem}.", START) from problem
    if response.is_error:
        raise ServingError(f"The server at {base} refused ({response.status_code}): {_reason(response)}")
    return base, response


def announced(workspace: Path) -> str:
    """The URL of the server that runs on a workspace.

    Raises:
        ServingError: none does.
    """
    path = workspace / "server.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError) as problem:
        raise ServingError(f"No model server runs on the workspace {workspace}.", START) from problem


def _reason(response: Any) -> str:
    try:
        body = response.json()
    except ValueError:
        return str(response.text.strip() or response.reason_phrase)
    return str(body.get("error") or body.get("detail") or body) if isinstance(body, dict) else str(body)
