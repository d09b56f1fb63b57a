"""The OpenAPI document says what the server does: every route, every answer."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from serving.openapi import document
from serving.routes import Routes
from tests.serving.conftest import Server
from tests.serving.fuzz import command


def test_the_server_tells_it_and_nothing_of_another_host(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json() == document()
    for page in ("/docs", "/redoc"):
        assert client.get(page).status_code == 404


def test_every_route_of_ours_is_in_it_and_no_other() -> None:
    added: set[tuple[str, str]] = set()

    def add_route(path: str, endpoint: Any, methods: list[str]) -> None:
        added.update((path.replace(":whole", ""), method.lower()) for method in methods)

    Routes(cast(Any, None), cast(Any, None), "liverank").add_to(SimpleNamespace(add_route=add_route))
    told = {
        (path, method)
        for path, item in document()["paths"].items()
        for method in item.keys() & {"get", "post", "put", "delete"}
    }
    assert told == added


def test_errors_are_what_it_says(client: httpx.Client) -> None:
    for path, item in document()["paths"].items():
        for method in item.keys() - {"parameters"}:
            assert {"401", "403", "429", "500", "503"} <= item[method]["responses"].keys()
            if "requestBody" in item[method]:
                answer = client.request(method, path, content=b"{")
                assert answer.status_code == 400
                assert "400" in item[method]["responses"]


def test_no_request_is_answered_otherwise(servers: Callable[..., Server], tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    # Bodies of any size that it makes: it does not take a 413 for a refusal of what breaks the schema.
    server = servers("serving.max_candidates=50").start()
    options = ("--phases", "examples,fuzzing,stateful", "--max-examples", "8", "--seed", "7")
    done = subprocess.run(
        command(server.url, *options), cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "Operations:       10 selected" in done.stdout
    with server.client() as client:
        metrics = client.get("/metrics").text
    for route in ("POST /v1/rank", "POST /v2/rerank", "PUT /v1/items"):
        assert f'liverank_requests_total{{route="{route}",status="200"}}' in metrics, "some requests are followed"
